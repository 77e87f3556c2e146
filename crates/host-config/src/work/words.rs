//! A command line as words, without a shell: nothing is looked up, expanded or run.

/// A text that is no list of words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the variants mean")]
pub enum BadWords {
    #[error("a quotation mark ({0}) is not closed")]
    Open(char),
    #[error("it ends with a backslash, which stands for nothing")]
    Backslash,
    #[error("it has a null character in it")]
    Null,
}

/// Splits at white space. What is between single quotes is one word as it is; between double quotes a backslash takes the
/// meaning from a quote and from a backslash; outside of them from any character.
///
/// # Errors
/// [`BadWords`]
pub fn words(text: &str) -> Result<Vec<String>, BadWords> {
    let mut all = Vec::new();
    // An empty word is one, too, if it is quoted.
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\0' => return Err(BadWords::Null),
            '\'' => word.get_or_insert_default().push_str(&single(&mut rest)?),
            '"' => word.get_or_insert_default().push_str(&double(&mut rest)?),
            '\\' => {
                let escaped = rest.next().ok_or(BadWords::Backslash)?;
                word.get_or_insert_default().push(escaped);
            }
            space if space.is_whitespace() => all.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    all.extend(word);
    if all.iter().any(|word| word.contains('\0')) {
        return Err(BadWords::Null);
    }
    Ok(all)
}

/// What comes before the closing quote.
fn single(rest: &mut std::str::Chars<'_>) -> Result<String, BadWords> {
    let (inside, after) = rest.as_str().split_once('\'').ok_or(BadWords::Open('\''))?;
    *rest = after.chars();
    Ok(inside.to_owned())
}

fn double(rest: &mut std::str::Chars<'_>) -> Result<String, BadWords> {
    let mut inside = String::new();
    loop {
        match rest.next().ok_or(BadWords::Open('"'))? {
            '"' => return Ok(inside),
            '\\' => match rest.next().ok_or(BadWords::Open('"'))? {
                escaped @ ('"' | '\\') => inside.push(escaped),
                other => inside.extend(['\\', other]),
            },
            other => inside.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (text, wanted) in [
            ("", vec![]),
            ("  \t\n", vec![]),
            ("/qn  REBOOT=no", vec!["/qn", "REBOOT=no"]),
            ("--name 'two words' x", vec!["--name", "two words", "x"]),
            (r#"a"b c"'d e'f"#, vec!["ab cd ef"]),
            (r#""" ''"#, vec!["", ""]),
            (r#""a \"b\" \\ \n""#, vec![r#"a "b" \ \n"#]),
            (r"a\ b \\ \'", vec!["a b", r"\", "'"]),
            (r"'\'", vec![r"\"]),
            (
                "$HOME `id` $(id) ; | *",
                vec!["$HOME", "`id`", "$(id)", ";", "|", "*"],
            ),
        ] {
            assert_eq!(words(text).unwrap(), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_line_that_has_no_end_is_refused() {
        assert_eq!(words("a 'b"), Err(BadWords::Open('\'')));
        assert_eq!(words("a \"b"), Err(BadWords::Open('"')));
        assert_eq!(words("\"a\\"), Err(BadWords::Open('"')));
        assert_eq!(words("a\\"), Err(BadWords::Backslash));
        for null in ["a\0", "'\0'", "\"\0\"", "\\\0"] {
            assert_eq!(words(null), Err(BadWords::Null));
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(all in prop::collection::vec("[a '\"\\\\$\u{e4}\t]{0,8}", 0..6)) {
            let quoted: Vec<_> = all.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
            prop_assert_eq!(words(&quoted.join(" ")).unwrap(), all);
        }

        #[test]
        fn any_text_is_split_or_refused(text in ".{0,40}") {
            if let Ok(all) = words(&text) {
                prop_assert!(all.iter().map(String::len).sum::<usize>() <= text.len());
            }
        }
    }
}
