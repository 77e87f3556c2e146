//! Where a file is wrong, without what is written there: a line may hold a secret.

/// See the module. Lines and columns are counted from 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}{}: {why}", of_key(key.as_deref()))]
pub struct WrongLine {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
    /// The key or section whose value it is, as far as that is known.
    pub key: Option<String>,
    /// Such as `unknown field`.
    pub why: String,
}

fn of_key(key: Option<&str>) -> String {
    key.map(|key| format!(" (`{key}`)")).unwrap_or_default()
}

impl WrongLine {
    /// Where in `text` it is that its reader complains.
    #[must_use]
    pub fn of(text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line,
            column: last.chars().count() + 1,
            key: None,
            why: error.message().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct One {
        #[serde(rename = "a")]
        _a: u16,
    }

    #[test]
    fn a_place_is_a_line_and_a_column() {
        for (text, line, column) in [
            ("a = 'x'", 1, 5),
            ("# ö\n\n  a = 'x'\n", 3, 7),
            ("\"a\" =    [1]", 1, 10),
        ] {
            let error = toml::from_str::<One>(text).err().expect("no number");
            let wrong = WrongLine::of(text, &error);
            assert_eq!((wrong.line, wrong.column), (line, column), "{text}");
        }
    }
}
