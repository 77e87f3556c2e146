//! The words of a query.

use anyhow::{Result, bail};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// Of a metric, a label, a function; or a word of the language.
    Name(String),
    /// What is between quotes, as it is meant.
    Text(String),
    /// What compares a label.
    Operator(&'static str),
    /// One character that means something by itself.
    Mark(char),
    /// A number, a time, a variable of Grafana: nothing of which anybody has to know what it is.
    Other,
}

const OPERATORS: [&str; 8] = ["=~", "!~", "!=", "==", "<=", ">=", "=", "<"];
const MARKS: &str = "(){}[],+-*/%^>:@";

/// # Errors
/// When a text or a variable has no end, or there is a character that no query has.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '"' | '\'' | '`' => quoted(rest, first)?,
            '$' => (Some(Token::Other), variable(rest)?),
            '0'..='9' | '.' => (Some(Token::Other), number(rest)),
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
                (Some(Token::Name(rest[..length].to_owned())), length)
            }
            _ => match OPERATORS.iter().find(|known| rest.starts_with(**known)) {
                Some(&operator) => (Some(Token::Operator(operator)), operator.len()),
                None if MARKS.contains(first) => (Some(Token::Mark(first)), 1),
                None => bail!("{first:?} in {text:?} is of no query"),
            },
        };
        tokens.extend(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// Names of rules that record have colons.
fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn quoted(rest: &str, quote: char) -> Result<(Option<Token>, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            _ if c == quote => return Ok((Some(Token::Text(text)), at + 1)),
            '\\' if quote != '`' => match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, c)) => text.push(c),
                None => break,
            },
            _ => text.push(c),
        }
    }
    bail!("a text has no end: {rest}")
}

/// `$job`, `$__rate_interval`, `${job:raw}`.
fn variable(rest: &str) -> Result<usize> {
    if rest.starts_with("${") {
        return match rest.find('}') {
            Some(end) => Ok(end + 1),
            None => bail!("a variable has no end: {rest}"),
        };
    }
    let name = &rest[1..];
    let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    Ok(1 + length.unwrap_or(name.len()))
}

/// `0.5`, `20e9`, `1e-3`, `0x1F`, `5m`, `1h30m`.
fn number(rest: &str) -> usize {
    let mut before = ' ';
    let mut is_hexadecimal = false;
    for (at, c) in rest.char_indices() {
        let is_exponent = matches!(before, 'e' | 'E') && !is_hexadecimal && matches!(c, '+' | '-');
        if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || is_exponent) {
            return at;
        }
        is_hexadecimal |= at == 1 && matches!(c, 'x' | 'X');
        before = c;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_end_where_they_end() {
        for (text, length) in [
            ("0.5)", 3),
            ("20e9+1", 4),
            ("1e-3-a", 4),
            ("0x1e-3", 4),
            ("1h30m]", 5),
            ("7", 1),
        ] {
            assert_eq!(number(text), length, "{text}");
        }
    }
}
