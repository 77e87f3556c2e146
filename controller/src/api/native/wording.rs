//! What serde says of a value that it could not read, in words for people. The texts read on after
//! the name of the field.

/// The field that the report is about, where it says so itself.
pub(super) fn field(report: &str) -> Option<&str> {
    let name = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| report.strip_prefix(start))?;
    name.split('`').next()
}

/// Why a member of a JSON body was refused.
pub(super) fn of_json(error: &serde_json::Error) -> String {
    let report = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    of_value(report.strip_suffix(&place).unwrap_or(&report))
}

/// Why a value was refused. A report of one of our own types is in plain words already.
pub(super) fn of_value(report: &str) -> String {
    if report.starts_with("missing field") {
        return "is required".to_owned();
    }
    if report.starts_with("duplicate field") {
        return "is given twice".to_owned();
    }
    if report.starts_with("unknown field") {
        return match report.split_once(", expected ") {
            Some((_, known)) => format!("is not a known name; known: {}", names(known)),
            None => "is not a known name".to_owned(),
        };
    }
    let refused = ["unknown variant ", "invalid type: ", "invalid value: "]
        .iter()
        .find_map(|start| report.strip_prefix(start)?.rsplit_once(", expected "));
    if let Some((found, wanted)) = refused {
        return format!("must be {}, not {}", kind(wanted), value(found));
    }
    match report {
        // JSON, but of another kind than the field takes, is an error of syntax to serde_json.
        "expected value" => "has a value of the wrong kind",
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "must be a whole number"
        }
        "number too large to fit in target type" => "is too large a number",
        "number too small to fit in target type" => "is too small a number",
        "number would be zero for non-zero type" => "must be a whole number from 1",
        "provided string was not `true` or `false`" => "must be true or false",
        other => other,
    }
    .to_owned()
}

fn names(list: &str) -> &str {
    list.strip_prefix("one of ").unwrap_or(list)
}

/// What serde calls a type.
fn kind(wanted: &str) -> &str {
    match wanted {
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" | "a nonzero usize" => "a whole number from 1",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "a borrowed string" | "string or map" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        structure if structure.starts_with("struct ") => "an object",
        other => other,
    }
}

/// What serde calls a value: a kind and, of most, the value.
fn value(found: &str) -> &str {
    let bare = ["integer `", "floating point `", "boolean `"]
        .iter()
        .find_map(|kind| found.strip_prefix(kind)?.strip_suffix('`'));
    match found {
        "map" => "an object",
        "sequence" => "a list",
        text => bare.unwrap_or_else(|| text.strip_prefix("string ").unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Green,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "read from JSON only")]
    struct Sample {
        number: NonZeroU32,
        #[serde(default)]
        size: u64,
        #[serde(default)]
        text: String,
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        list: Vec<u16>,
        #[serde(default)]
        colour: Option<Colour>,
    }

    #[test]
    fn reports_of_serde_are_put_into_words() {
        for (body, words) in [
            (
                r#"{"number":0}"#,
                "must be a whole number from 1 to 4294967295, not 0",
            ),
            (
                r#"{"number":"x"}"#,
                "must be a whole number from 1 to 4294967295, not \"x\"",
            ),
            (
                r#"{"number":1.5}"#,
                "must be a whole number from 1 to 4294967295, not 1.5",
            ),
            (
                r#"{"number":1,"size":-1}"#,
                "must be a whole number from 0, not -1",
            ),
            (r#"{"number":1,"text":5}"#, "must be a text, not 5"),
            (r#"{"number":1,"text":null}"#, "must be a text, not null"),
            (
                r#"{"number":1,"flag":"yes"}"#,
                "must be true or false, not \"yes\"",
            ),
            (r#"{"number":1,"list":{}}"#, "must be a list, not an object"),
            (
                r#"{"number":1,"list":[65536]}"#,
                "must be a whole number from 0 to 65535, not 65536",
            ),
            (
                r#"{"number":1,"colour":"blue"}"#,
                "must be `red` or `green`, not `blue`",
            ),
            (r#"{"number":1,"number":2}"#, "is given twice"),
            (r#"{}"#, "is required"),
            (
                r#"{"numer":1}"#,
                "is not a known name; known: `number`, `size`, `text`, `flag`, `list`, `colour`",
            ),
        ] {
            let error = serde_json::from_str::<Sample>(body).expect_err(body);
            assert_eq!(of_json(&error), words, "{body}");
        }
    }

    #[test]
    fn reports_of_numbers_in_a_query_are_put_into_words() {
        for (text, words) in [
            ("abc", "must be a whole number"),
            ("", "must be a whole number"),
            ("0", "must be a whole number from 1"),
            ("4294967296", "is too large a number"),
        ] {
            let error = text.parse::<NonZeroU32>().expect_err(text);
            assert_eq!(of_value(&error.to_string()), words, "{text}");
        }
        let error = "yes".parse::<bool>().expect_err("no bool");
        assert_eq!(of_value(&error.to_string()), "must be true or false");
    }

    #[test]
    fn words_of_our_own_stay() {
        assert_eq!(
            of_value("\"zz\" is not a MAC address"),
            "\"zz\" is not a MAC address"
        );
    }
}
