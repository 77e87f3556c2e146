//! Where settings come from, for people.

use crate::layers::Layers;
use crate::origin::Origin;

/// What stands for a secret.
const NOT_SHOWN: &str = "(not shown)";

impl Layers {
    /// One line for each setting that is not the default: what it is, and what has set it.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut lines = Vec::new();
        for key in self.form().keys() {
            let (Some(value), Some(origin)) = (self.value(&key.path), self.origin(&key.path))
            else {
                continue;
            };
            if key.default.as_ref() == Some(value) {
                continue;
            }
            let value = if key.is_secret {
                NOT_SHOWN.to_owned()
            } else {
                value.to_string()
            };
            let origin = match origin {
                Origin::File(path) => path.display().to_string(),
                Origin::Variable(name) => format!("the variable {name}"),
                Origin::Flag(flag) => (*flag).to_owned(),
            };
            lines.push((format!("{} = {value}", key.path), origin));
        }
        let longest = lines.iter().map(|(set, _)| set.chars().count()).max();
        let width = longest.unwrap_or(0).min(MOST_COLUMNS);
        let shown = lines
            .iter()
            .map(|(set, origin)| format!("  {set:width$}  from {origin}\n"));
        shown.collect()
    }
}

/// Origins are in one column, unless a value is longer than this.
const MOST_COLUMNS: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::tests::form;

    #[test]
    fn what_is_not_the_default_is_shown_with_its_origin_and_secrets_are_not() {
        let mut layers = Layers::new(form());
        let variables = [
            ("BAKERY__OVEN__HEAT", "220"),
            ("BAKERY__OVEN__FUEL", "wood"),
            ("BAKERY__SHOP__CODE", "s3cret"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        layers.add_variables(variables).unwrap();
        layers.append("oven.breads", "--bread", vec!["rye".into()]);
        assert_eq!(
            layers.shown(),
            "  oven.breads = [\"rye\"]    from --bread\n\
             \x20 oven.fuel = \"wood\"       from the variable BAKERY__OVEN__FUEL\n\
             \x20 shop.code = (not shown)  from the variable BAKERY__SHOP__CODE\n"
        );
        assert_eq!(Layers::new(form()).shown(), "");
    }
}
