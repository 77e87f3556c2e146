//! What somebody meant who wrote a disk rule that is none.

/// Beginnings of the names that Linux gives to disks.
const DEVICES: [&str; 9] = [
    "sd", "hd", "vd", "xvd", "nvme", "mmcblk", "md", "loop", "dasd",
];
const KINDS: [&str; 4] = ["path", "serial", "wwn", "size"];

/// What looks like `text` and is probably a rule; whoever asks checks that.
pub(super) fn suggestion(text: &str) -> Option<String> {
    let text = text.trim();
    device(text)
        .or_else(|| word(text))
        .or_else(|| size(text))
        .or_else(|| kind(text))
}

/// `sda`, `dev/sda`.
fn device(text: &str) -> Option<String> {
    let name = text.strip_prefix("dev/").unwrap_or(text);
    let name = name.strip_prefix("path:").unwrap_or(name);
    let name = name.strip_prefix("dev/").unwrap_or(name);
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric());
    let known = DEVICES.iter().any(|start| {
        name.strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty() && rest.len() <= 6)
    });
    (plain && known).then(|| format!("path:/dev/{name}"))
}

/// `ony`, `Only`, `al`.
fn word(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    [("only", 2), ("all", 1)]
        .into_iter()
        .find(|(word, most)| lower.len() + 1 >= word.len() && distance(&lower, word) <= *most)
        .map(|(word, _)| word.to_owned())
}

/// `size:200`, `size:>200G`, `size:=>200G`.
fn size(text: &str) -> Option<String> {
    let bound = text
        .strip_prefix("size:")
        .or_else(|| text.strip_prefix("size"))?;
    let number = bound.trim_start_matches(['<', '>', '=', ' ']);
    let relation = if bound.contains('<') { "<=" } else { ">=" };
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = number.split_at(digits);
    // Nobody has a disk of less than a few thousand bytes.
    let unit = match unit {
        "" if digits.len() <= 5 => "GB",
        unit => unit,
    };
    (!digits.is_empty()).then(|| format!("size:{relation}{digits}{unit}"))
}

/// `serail:S1`, `serial=S1`.
fn kind(text: &str) -> Option<String> {
    let (kind, value) = text.split_once([':', '='])?;
    let kind = kind.trim().to_ascii_lowercase();
    let meant = KINDS
        .into_iter()
        .find(|known| distance(&kind, known) <= known.len() / 2)?;
    let value = value.trim();
    (!value.is_empty()).then(|| format!("{meant}:{value}"))
}

/// How many letters must be changed, added or removed.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_have_an_obvious_correction() {
        for (typed, meant) in [
            ("sda", "path:/dev/sda"),
            ("nvme0n1", "path:/dev/nvme0n1"),
            ("dev/vdb", "path:/dev/vdb"),
            ("path:sda", "path:/dev/sda"),
            ("ony", "only"),
            ("onyl", "only"),
            ("ALL", "all"),
            ("size:200", "size:>=200GB"),
            ("size:>200G", "size:>=200G"),
            ("size:=<1T", "size:<=1T"),
            ("serail:S1", "serial:S1"),
            ("serial=S1", "serial:S1"),
            ("path=/dev/sda", "path:/dev/sda"),
        ] {
            assert_eq!(suggestion(typed).as_deref(), Some(meant), "{typed}");
        }
        for unclear in [
            "",
            "kd",
            "disk",
            "size:",
            "foo:bar",
            "the first one",
            "sd",
            "/",
        ] {
            assert_eq!(suggestion(unclear), None, "{unclear}");
        }
    }
}
