//! Names that exclude each other: `a` is a file, and `a/b` needs a folder there.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::FileName;

/// The names in `among` that cannot be there together with `name`.
pub(crate) fn clashes<T>(among: &BTreeMap<FileName, T>, name: &FileName) -> Vec<FileName> {
    let above = name
        .folders()
        .filter_map(|folder| among.get_key_value(folder));
    let mut found: Vec<FileName> = above.map(|(name, _)| name.clone()).collect();
    let folder = format!("{name}/");
    let from = (Bound::Included(folder.as_str()), Bound::Unbounded);
    let below = among.range::<str, _>(from);
    let below = below.take_while(|(other, _)| other.as_str().starts_with(&folder));
    found.extend(below.map(|(name, _)| name.clone()));
    found
}

/// Whether any two of the names exclude each other; for tests of what promises that none do.
#[cfg(test)]
pub(crate) fn has_clash<T>(files: &BTreeMap<FileName, T>) -> bool {
    files.keys().any(|name| !clashes(files, name).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cannot_be_a_folder_of_another() {
        let names = ["a", "b/c/d", "b/c-d", "b/c/e"];
        let among: BTreeMap<FileName, ()> = names.map(|name| (name.parse().unwrap(), ())).into();
        let found = |name: &str| {
            let found = clashes(&among, &name.parse().unwrap());
            found.iter().map(FileName::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("a/x/y"), ["a"]);
        assert_eq!(found("b/c"), ["b/c/d", "b/c/e"]);
        assert_eq!(found("b"), ["b/c-d", "b/c/d", "b/c/e"]);
        assert!(found("a").is_empty());
        assert!(found("ab").is_empty());
        assert!(found("b/c/d").is_empty());
    }
}
