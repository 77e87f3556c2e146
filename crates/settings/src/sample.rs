//! A configuration file with every key, for people.
//!
//! A line that begins with a key shows its default, one that begins with `#` and a key an example;
//! text has a space after its `#`.

use crate::form::{Form, Section};
use crate::key::Key;

impl Form {
    /// See the module. As it is, it means the same as no file, but for the keys that are required.
    #[must_use]
    pub fn sample(&self) -> String {
        let mut sample = Sample {
            text: String::new(),
            required: self.program.required,
        };
        sample.comment(&self.heading());
        sample.section(&self.root);
        sample.text
    }

    fn heading(&self) -> String {
        let (command, file) = (self.program.command, self.program.file);
        let keys = self.keys();
        let shown = keys.iter().find(|key| key.path.contains('.'));
        let variable = shown.map_or(String::new(), |key| {
            let name = format!("{}{}", self.program.prefix, key.variable());
            format!("`{}` is {name}.\n", key.path)
        });
        format!(
            "Settings of `{command}`. {about}\n\n    {command} --config {file}\n\n\
             Every key is here, as `{command} --print-default-config` prints it.\n\
             A line that begins with a key shows the default; a line that begins with # and a key\n\
             has no default, and shows an example. An unknown key is refused. A variable of the\n\
             environment takes precedence over this file, and a flag over both:\n\
             {variable}",
            about = self.program.about,
        )
    }
}

struct Sample {
    text: String,
    required: &'static [&'static str],
}

impl Sample {
    fn section(&mut self, section: &Section) {
        let mark = if section.may_be_absent { "#" } else { "" };
        let is_root = section.path.is_empty();
        if !is_root {
            self.text.push('\n');
            self.comment(&section.description);
            if !section.keys.is_empty() {
                self.text.push_str(&format!("{mark}[{}]\n", section.path));
            }
        }
        for key in &section.keys {
            if is_root {
                self.text.push('\n');
            }
            self.comment(&key.description);
            self.key(mark, key);
        }
        for inner in &section.sections {
            self.section(inner);
        }
    }

    fn key(&mut self, mark: &str, key: &Key) {
        let is_required = self.required.contains(&&*key.path);
        let (mark, value) = match (&key.default, &key.example) {
            (Some(default), _) => (mark, default),
            (None, Some(example)) if is_required => (mark, example),
            (None, Some(example)) => ("#", example),
            (None, None) => return,
        };
        self.text
            .push_str(&format!("{mark}{} = {value}\n", key.name()));
    }

    fn comment(&mut self, text: &str) {
        for line in text.lines() {
            self.text.push_str(format!("# {line}").trim_end());
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::form::tests::{Bakery, form};

    #[test]
    fn every_key_is_shown_with_its_default_or_an_example() {
        let sample = form().sample();
        let keys = sample.split_once("OVEN__HEAT.\n").unwrap().1;
        let expected = "\n\
            # Where the flour is.\n\
            store_dir = \"/srv/flour\"\n\
            \n\
            # The oven.\n\
            [oven]\n\
            # Degrees Celsius.\n\
            heat = 220\n\
            # What is\n\
            # baked.\n\
            breads = []\n\
            # Gas or wood.\n\
            fuel = \"gas\"\n\
            \n\
            # Only where bread is sold.\n\
            #[shop]\n\
            # Who sells.\n\
            #seller = \"Anna\"\n\
            # Where it is.\n\
            #listen = \"0.0.0.0:80\"\n\
            # Of the till.\n\
            #code = \"1234\"\n";
        assert_eq!(keys, expected);
        let read: Bakery = toml::from_str(&sample).unwrap();
        assert!(read.shop.is_none() && read.oven.heat == Some(220));
        let first = sample.lines().next().unwrap();
        assert_eq!(first, "# Settings of `bakery run`. Bakes bread.");
    }
}
