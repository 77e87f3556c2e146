//! Writes JSON text straight into a buffer. Rows keep their stored fields rendered, so that an
//! answer is mostly copying; a tree of values would be built only to be flattened again.

/// An object under construction: comma and braces are its business.
pub struct JsonObject<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> JsonObject<'o> {
    /// Writes `{`; [`JsonObject::end`] writes the `}`.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Goes on with an object that has members already and whose `}` was taken away.
    pub(crate) fn resume(out: &'o mut Vec<u8>) -> Self {
        Self { out, empty: false }
    }

    /// Members alone; [`JsonObject::end`] must not be called.
    pub(crate) fn without_braces(out: &'o mut Vec<u8>) -> Self {
        Self { out, empty: true }
    }

    /// An object of an id and a name alone.
    pub fn named(out: &'o mut Vec<u8>, id: u32, name: &str) {
        let mut object = Self::begin(out);
        object.text("id", &id.to_string());
        object.text("name", name);
        object.end();
    }

    pub fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, name: &str) {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        string(self.out, name);
        self.out.push(b':');
    }

    /// Members that are JSON already, without braces.
    pub fn members(&mut self, members: &str) {
        if members.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(members.as_bytes());
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        string(self.out, value);
    }

    pub fn integer(&mut self, name: &str, value: i64) {
        self.key(name);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    /// A number that is written without a fraction when it has none.
    pub fn number(&mut self, name: &str, value: f64) {
        self.key(name);
        let text = if value.is_finite() {
            value.to_string()
        } else {
            "0".to_owned()
        };
        self.out.extend_from_slice(text.as_bytes());
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.key(name);
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub fn texts(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        self.key(name);
        list(self.out, values, |value, out| string(out, value.as_ref()));
    }

    /// A value that there is none of.
    pub fn null(&mut self, name: &str) {
        self.key(name);
        self.out.extend_from_slice(b"null");
    }

    /// An object whose members `fill` writes.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut JsonObject<'_>)) {
        self.key(name);
        let mut object = JsonObject::begin(self.out);
        fill(&mut object);
        object.end();
    }

    /// An object without members.
    pub fn nothing(&mut self, name: &str) {
        self.key(name);
        self.out.extend_from_slice(b"{}");
    }
}

/// A JSON list, each of whose items `write` writes.
pub fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place != 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// A JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    // Nearly every text has nothing to escape and is copied as it is.
    if text
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
    }
}
