//! One object for people: its fields in groups, aligned.

/// A title, and fields under it.
#[derive(Clone, Debug)]
pub struct Sheet {
    title: String,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// Empty for the first one.
    heading: &'static str,
    fields: Vec<(String, Vec<String>)>,
}

impl Sheet {
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            groups: vec![Group::default()],
        }
    }

    /// Begins a group of fields; one without fields is left out.
    pub fn group(&mut self, heading: &'static str) {
        let fields = Vec::new();
        self.groups.push(Group { heading, fields });
    }

    /// Adds a field.
    pub fn field(&mut self, label: &str, value: impl Into<String>) {
        self.lines(label, [value.into()]);
    }

    /// Adds a field, unless there is nothing to say.
    pub fn maybe(&mut self, label: &str, value: Option<impl Into<String>>) {
        let value = value.map(Into::into).filter(|value| !value.is_empty());
        self.lines(label, value);
    }

    /// Adds a field with a line for each value; none when there is no value.
    pub fn lines(&mut self, label: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().map(|value| clean(&value)).collect();
        if let (false, Some(group)) = (values.is_empty(), self.groups.last_mut()) {
            group.fields.push((label.to_owned(), values));
        }
    }

    /// The text, without trailing spaces.
    #[must_use]
    pub fn render(&self) -> String {
        let fields = self.groups.iter().flat_map(|group| &group.fields);
        let widths = fields.map(|(label, _)| label.chars().count());
        let width = widths.max().unwrap_or_default();
        let mut text = format!("{}\n", clean(&self.title));
        for group in self.groups.iter().filter(|group| !group.fields.is_empty()) {
            if !group.heading.is_empty() {
                text.push_str(&format!("\n{}\n", group.heading));
            }
            for (label, values) in &group.fields {
                let labels = std::iter::once(label.as_str()).chain(std::iter::repeat(""));
                for (label, value) in labels.zip(values) {
                    let line = format!("  {label:<width$}  {value}");
                    text.push_str(line.trim_end());
                    text.push('\n');
                }
            }
        }
        text
    }
}

/// A line break or a control character in a name must not start a line or move the cursor.
fn clean(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_aligned_under_their_headings() {
        let mut sheet = Sheet::new("host pc\n1 (id 7)");
        sheet.field("image", "win11");
        sheet.maybe("disk", None::<String>);
        sheet.group("nothing here");
        sheet.group("network");
        sheet.lines("MAC addresses", ["one".to_owned(), "two".to_owned()]);
        assert_eq!(
            sheet.render(),
            "host pc 1 (id 7)\n  image          win11\n\nnetwork\n  MAC addresses  one\n                 two\n"
        );
    }
}
