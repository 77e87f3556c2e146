//! Finds objects by name or id, as given on the command line.

use foghorn_rest_types::fog::{FogObject, Row};
use serde_json::json;

use crate::api::Api;
use crate::api::action::words_of;
use crate::exit::{Exit, Failure};

/// How an argument identifies an object.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Reference<'a> {
    Number(u32),
    Name(&'a str),
    /// Digits: the number of one object or the name of another.
    Either(u32, &'a str),
}

fn parse(text: &str) -> Result<Reference<'_>, Failure> {
    let number = |digits: &str| digits.parse::<u32>().ok().filter(|number| *number > 0);
    if let Some(digits) = text.strip_prefix("id:") {
        return number(digits).map(Reference::Number).ok_or_else(|| {
            Failure::usage(format!("{digits:?} is not an id: ids are numbers from 1"))
        });
    }
    if let Some(name) = text.strip_prefix("name:") {
        return Ok(Reference::Name(name));
    }
    if text.trim().is_empty() {
        return Err(Failure::usage("the name is empty"));
    }
    Ok(match number(text) {
        Some(number) => Reference::Either(number, text),
        None => Reference::Name(text),
    })
}

/// The one object that `text` identifies: by id, or by its exact name (case is ignored, as in FOG).
///
/// # Errors
/// [`Exit::NotFound`] when there is none, [`Exit::Usage`] when the text matches two.
pub fn find<T: FogObject>(api: &Api, text: &str) -> Result<Row<T>, Failure> {
    let found = match parse(text)? {
        Reference::Number(number) => api.one(number)?.into_iter().collect(),
        Reference::Name(name) => by_name(api, name)?,
        Reference::Either(number, name) => {
            let mut found: Vec<Row<T>> = api.one(number)?.into_iter().collect();
            found.extend(
                by_name(api, name)?
                    .into_iter()
                    .filter(|row: &Row<T>| row.view.number() != number),
            );
            found
        }
    };
    only(found, text)
}

fn by_name<T: FogObject>(api: &Api, name: &str) -> Result<Vec<Row<T>>, Failure> {
    // A per cent sign would make the server's filter a pattern; then the whole list is searched
    // here.
    let filter = (!name.contains('%')).then(|| json!({ "name": name }));
    let rows = api.list_at::<T>(&format!("/fog/{}", T::CLASS), filter)?;
    Ok(rows
        .into_iter()
        .filter(|row| row.view.name().to_lowercase() == name.to_lowercase())
        .collect())
}

fn only<T: FogObject>(mut found: Vec<Row<T>>, text: &str) -> Result<Row<T>, Failure> {
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let command = words_of(T::CLASS).map_or(T::NOUN, |words| words.command);
            Err(
                Failure::new(Exit::NotFound, format!("there is no {} {text:?}", T::NOUN))
                    .advise(format!("`foghorn {command} list` shows the existing ones")),
            )
        }
        _ => {
            let seen: Vec<String> = found
                .iter()
                .map(|row| format!("{} ({})", row.view.name(), row.view.number()))
                .collect();
            Err(
                Failure::usage(format!("{text:?} matches several: {}", seen.join(", ")))
                    .advise("use id:NUMBER or name:NAME"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::fog::{Group, read_one};

    use super::*;

    #[test]
    fn digits_may_be_a_name_and_prefixes_decide() {
        assert_eq!(parse("lab").unwrap(), Reference::Name("lab"));
        assert_eq!(parse("7").unwrap(), Reference::Either(7, "7"));
        assert_eq!(parse("id:7").unwrap(), Reference::Number(7));
        assert_eq!(parse("name:7").unwrap(), Reference::Name("7"));
        assert_eq!(parse("0").unwrap(), Reference::Name("0"));
        for bad in ["", "id:x", "id:0", "id:-1"] {
            assert_eq!(parse(bad).unwrap_err().exit(), Exit::Usage, "{bad:?}");
        }
    }

    #[test]
    fn none_and_two_are_told_apart() {
        let row =
            |id: &str| read_one::<Group>(json!({"id": id, "name": "lab", "hostcount": 0})).unwrap();
        assert_eq!(
            only::<Group>(vec![], "lab").unwrap_err().exit(),
            Exit::NotFound
        );
        assert_eq!(
            only(vec![row("1"), row("2")], "lab").unwrap_err().exit(),
            Exit::Usage
        );
        assert_eq!(only(vec![row("2")], "lab").unwrap().view.number(), 2);
    }
}
