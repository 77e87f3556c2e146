//! Files that settings name.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens the file for reading, and nothing else. What is no file, such as a folder or a pipe, which
/// might never open, is refused before.
///
/// # Errors
/// When it is missing, no file, or cannot be read.
pub fn readable(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    File::open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(readable(&file).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(readable(folder.path()).is_err());
        fs::write(&file, "").unwrap();
        readable(&file).unwrap();
    }
}
