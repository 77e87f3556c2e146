//! Finding the settings of the update agent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use foghorn_host_config::sota::{BadSota, Sota, SotaFile};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("could not read the settings in {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("there is no settings file in {0}")]
    None(String),
    #[error("the settings of this device cannot be used")]
    Bad(#[source] BadSota),
}

/// Reads what there is in the search path. Files are put over each other in the order of their names, whichever folder they
/// are in; of files with the same name, only the one that is found last is read.
///
/// # Errors
/// When nothing is found, or it cannot be used.
pub(super) fn read(search: &[PathBuf]) -> Result<Sota, SearchError> {
    let mut found: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for path in search {
        let files = files(path).map_err(|source| SearchError::Read {
            path: path.clone(),
            source,
        })?;
        let named = |file: PathBuf| Some((file.file_name()?.to_owned(), file));
        found.extend(files.into_iter().filter_map(named));
    }
    if found.is_empty() {
        return Err(SearchError::None(listed(search)));
    }
    let mut texts = Vec::new();
    for path in found.into_values() {
        let text = fs::read_to_string(&path).map_err(|source| SearchError::Read {
            path: path.clone(),
            source,
        })?;
        texts.push(SotaFile {
            file: path.display().to_string(),
            text,
        });
    }
    Sota::of(&texts).map_err(SearchError::Bad)
}

/// The search path with commas, as handlers are told it.
pub(super) fn listed(search: &[PathBuf]) -> String {
    let paths: Vec<_> = search.iter().map(|path| path.to_string_lossy()).collect();
    paths.join(",")
}

/// A file itself, or those of a folder whose names end with `.toml`; none when it is not there.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let is_folder = match fs::metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if !is_folder {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|end| end == "toml") && file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "[tls]\nserver = \"https://a.example\"\n[import]\ntls_cacert_path = \"/ca\"\n\
        tls_pkey_path = \"/key\"\ntls_clientcert_path = \"/certificate\"\n";

    #[test]
    fn later_names_win_whichever_folder_they_are_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["usr", "etc"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("sota.toml"), WHOLE).unwrap();
        let server = |name: &str| format!("[tls]\nserver = \"https://{name}.example\"\n");
        fs::write(path("usr/z.toml"), server("z")).unwrap();
        fs::write(path("etc/a.toml"), server("early")).unwrap();
        fs::write(path("etc/z.conf"), "no settings").unwrap();
        let search = [path("usr"), path("sota.toml"), path("etc"), path("missing")];
        assert_eq!(read(&search).unwrap().server, "https://z.example");
        // The same name later in the path hides the one before.
        fs::write(path("etc/z.toml"), server("hiding")).unwrap();
        assert_eq!(read(&search).unwrap().server, "https://hiding.example");
    }

    #[test]
    fn a_machine_without_settings_is_told_where_they_were_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = read(std::slice::from_ref(&missing)).unwrap_err();
        assert!(error.to_string().contains(&missing.display().to_string()));
        let file = folder.path().join("sota.toml");
        fs::write(&file, "[tls]\n").unwrap();
        assert!(matches!(read(&[file]), Err(SearchError::Bad(_))));
    }
}
