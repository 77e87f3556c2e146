//! Content that a storage node cannot give out whole, in words.

use foghorn_rest_types::native::DamagedContent;

/// How much of it, since when, and why.
pub fn in_words(damage: &DamagedContent) -> String {
    let what = match damage.chunks {
        0 => "the list of its chunks".to_owned(),
        1 => "1 chunk".to_owned(),
        chunks => format!("{chunks} chunks"),
    };
    format!("{what}, found on {}: {}", damage.found, damage.problem)
}

/// What it is.
pub fn named(damage: &DamagedContent) -> String {
    if let Some(image) = &damage.image {
        let name = match &*image.name {
            "" => format!("unknown content with the number of image {}", image.id),
            name => format!("image {name}"),
        };
        return match damage.version {
            Some(version) => format!("{name}, version {version},"),
            None => name,
        };
    }
    let names: Vec<&str> = damage.snapins.iter().map(|snapin| &*snapin.name).collect();
    match (names.is_empty(), damage.file) {
        (false, _) => format!("the file of snapin {}", names.join(", ")),
        (true, Some(file)) => format!("the unknown file {file}"),
        (true, None) => "content".to_owned(),
    }
}
