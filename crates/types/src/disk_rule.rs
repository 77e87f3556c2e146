//! How people name the disks of a machine that are imaged. The client applies the rules; the
//! controller only reads how many disks they stand for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::disk_hint;
use crate::units::ByteCount;

/// How many disks a task images at most.
pub const MAX_DISK_RULES: usize = 16;

/// How the operator names the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskRule {
    /// `path:/dev/sda`, or just `/dev/sda`. Also takes regular files.
    Path(PathBuf),
    /// `serial:TEXT`, compared without regard to case and outer blanks.
    Serial(String),
    /// `wwn:TEXT`, likewise; a leading `0x`, `naa.`, `eui.` or `nvme.` does not matter.
    Wwn(String),
    /// `size:>=N`, `size:<=N` or both with a comma; N in bytes, with K, M, G, T (or
    /// KiB …) for powers of 1024, or with KB, MB, GB, TB for powers of 1000, as disks are sold.
    Size {
        /// Inclusive.
        at_least: ByteCount,
        /// Inclusive.
        at_most: ByteCount,
    },
    /// `only`: the one drive of the machine.
    Only,
}

/// A text that is not a rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is not a disk rule ({why}): {}", advice(text))]
pub struct ParseDiskRuleError {
    text: String,
    why: &'static str,
}

impl ParseDiskRuleError {
    /// The rule that was probably meant.
    #[must_use]
    pub fn suggestion(&self) -> Option<String> {
        meant(&self.text)
    }
}

fn meant(text: &str) -> Option<String> {
    disk_hint::suggestion(text).filter(|rule| rule.parse::<DiskRules>().is_ok())
}

fn advice(text: &str) -> String {
    match meant(text) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "use path:/dev/…, serial:…, wwn:…, size:>=N,<=N or only; of several disks, rules \
                 with commas between them, or all"
            .to_owned(),
    }
}

impl FromStr for DiskRule {
    type Err = ParseDiskRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| ParseDiskRuleError {
            text: text.to_owned(),
            why,
        };
        let text = text.trim();
        if text == "only" {
            return Ok(Self::Only);
        }
        if text.starts_with('/') {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let (what, value) = text
            .split_once(':')
            .ok_or_else(|| refuse("no such word, and a path starts with /"))?;
        if value.trim().is_empty() {
            return Err(refuse("nothing after the colon"));
        }
        match what {
            "path" if Path::new(value).is_absolute() => Ok(Self::Path(PathBuf::from(value))),
            "path" => Err(refuse("the path is not absolute")),
            "serial" => Ok(Self::Serial(value.trim().to_owned())),
            "wwn" => Ok(Self::Wwn(value.trim().to_owned())),
            "size" => parse_size_rule(value).map_err(refuse),
            _ => Err(refuse("no such word")),
        }
    }
}

impl fmt::Display for DiskRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path:{}", path.display()),
            Self::Serial(serial) => write!(f, "serial:{serial}"),
            Self::Wwn(wwn) => write!(f, "wwn:{wwn}"),
            Self::Size { at_least, at_most } => {
                write!(f, "size:>={},<={}", at_least.bytes(), at_most.bytes())
            }
            Self::Only => f.write_str("only"),
        }
    }
}

fn parse_size_rule(text: &str) -> Result<DiskRule, &'static str> {
    let (mut at_least, mut at_most) = (None, None);
    for bound in text.split(',') {
        let (slot, number) = match (
            bound.trim().strip_prefix(">="),
            bound.trim().strip_prefix("<="),
        ) {
            (Some(number), _) => (&mut at_least, number),
            (_, Some(number)) => (&mut at_most, number),
            _ => return Err("a bound starts with >= or <="),
        };
        if slot.replace(parse_bytes(number)?).is_some() {
            return Err("the same bound twice");
        }
    }
    let (at_least, at_most) = (
        at_least.unwrap_or(ByteCount::ZERO),
        at_most.unwrap_or(ByteCount::from_bytes(u64::MAX)),
    );
    if at_least > at_most {
        Err("no size lies between the bounds")
    } else {
        Ok(DiskRule::Size { at_least, at_most })
    }
}

fn parse_bytes(text: &str) -> Result<ByteCount, &'static str> {
    let text = text.trim();
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(end);
    let factor = factor(unit.trim()).ok_or(NO_SIZE)?;
    let number: u64 = digits.parse().map_err(|_| NO_SIZE)?;
    number
        .checked_mul(factor)
        .map(ByteCount::from_bytes)
        .ok_or("the size is too large")
}

const NO_SIZE: &str = "a size is a whole number, maybe with K, M, G, T or KB, MB, GB, TB behind";

/// How many bytes a unit stands for.
fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None => return Some(1),
        Some(letter) => u32::try_from("kmgt".find(letter)?).ok()? + 1,
    };
    match letters.as_str() {
        "" | "ib" => Some(1024_u64.pow(power)),
        "b" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// Which disks of a machine are imaged, in their order: rules separated by commas, or `all`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskRules {
    /// Each rule finds one disk; at least one, at most [`MAX_DISK_RULES`].
    Each(Vec<DiskRule>),
    /// `all`: every drive that is built in and free.
    All,
}

impl DiskRules {
    /// How many disks they stand for, where that is known without the machine.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Each(rules) => Some(rules.len()),
            Self::All => None,
        }
    }
}

impl From<DiskRule> for DiskRules {
    fn from(rule: DiskRule) -> Self {
        Self::Each(vec![rule])
    }
}

impl FromStr for DiskRules {
    type Err = ParseDiskRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let refuse = |why| ParseDiskRuleError {
            text: text.to_owned(),
            why,
        };
        if text.contains(',') && text.split(',').any(|piece| piece.trim().is_empty()) {
            return Err(refuse(
                "there is a comma with nothing in front of it or behind",
            ));
        }
        let pieces = rules_in(text);
        if pieces.len() > MAX_DISK_RULES {
            return Err(refuse("more than 16 disks"));
        }
        if pieces.len() > 1 && pieces.iter().any(|piece| piece == "all") {
            return Err(refuse("all stands alone"));
        }
        let rules: Vec<DiskRule> = pieces
            .iter()
            .map(|piece| piece.parse())
            .collect::<Result<_, _>>()?;
        if rules.len() > 1 && rules.contains(&DiskRule::Only) {
            return Err(refuse("only is for machines with one disk"));
        }
        if (1..rules.len()).any(|at| rules[..at].contains(&rules[at])) {
            return Err(refuse("the same disk twice"));
        }
        Ok(Self::Each(rules))
    }
}

/// The texts of the rules. A comma that no rule follows belongs to the rule in front of it, such as
/// the one between the bounds of a size.
fn rules_in(text: &str) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for piece in text.split(',') {
        match rules.last_mut() {
            Some(last) if !starts_a_rule(piece.trim()) => {
                last.push(',');
                last.push_str(piece);
            }
            _ => rules.push(piece.trim().to_owned()),
        }
    }
    rules
}

fn starts_a_rule(piece: &str) -> bool {
    matches!(piece, "only" | "all")
        || ["/", "path:", "serial:", "wwn:", "size:"]
            .iter()
            .any(|start| piece.starts_with(start))
}

impl fmt::Display for DiskRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Each(rules) => {
                for (nth, rule) in rules.iter().enumerate() {
                    let comma = if nth == 0 { "" } else { "," };
                    write!(f, "{comma}{rule}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(text: &str) -> Vec<String> {
        match text.parse().unwrap() {
            DiskRules::Each(rules) => rules.iter().map(ToString::to_string).collect(),
            DiskRules::All => panic!("{text} is all"),
        }
    }

    #[test]
    fn rules_are_separated_by_commas_that_a_rule_follows() {
        assert_eq!(each("only"), ["only"]);
        assert_eq!(
            each("/dev/sda, /dev/sdb"),
            ["path:/dev/sda", "path:/dev/sdb"]
        );
        assert_eq!(
            each("size:>=1,<=2,serial:A,B,size:<=9,wwn:0x5"),
            ["size:>=1,<=2", "serial:A,B", "size:>=0,<=9", "wwn:0x5"]
        );
        assert_eq!(each("path:/disks/a,b.img"), ["path:/disks/a,b.img"]);
        assert_eq!(" all ".parse(), Ok(DiskRules::All));
        let rules: DiskRules = "serial:A,/dev/sdb".parse().unwrap();
        assert_eq!(rules.to_string().parse(), Ok(rules.clone()));
        assert_eq!((rules.count(), DiskRules::All.count()), (Some(2), None));
    }

    #[test]
    fn lists_that_name_no_disks_are_refused() {
        let seventeen = vec!["/dev/sda"; 17].join(",");
        for (text, why) in [
            ("", "no such word"),
            ("serial:A,all", "all stands alone"),
            ("all,all", "all stands alone"),
            ("only,serial:A", "only is for machines with one disk"),
            ("/dev/sda,path:/dev/sda", "the same disk twice"),
            ("serial:,/dev/sda", "nothing after the colon"),
            ("/dev/sda,", "a comma with nothing"),
            (",serial:A", "a comma with nothing"),
            ("serial:A, ,serial:B", "a comma with nothing"),
            (&seventeen, "more than 16 disks"),
        ] {
            let error = text.parse::<DiskRules>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
