//! The command line of a snapin.

use super::words::{BadWords, words};

/// Stands in the fields of an archive for the folder that it was unpacked to, as in FOG.
pub const FOLDER: &str = "[FOG_SNAPIN_PATH]";
/// Longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;

/// What a snapin says of how it is run.
#[derive(Clone, Copy, Debug)]
pub struct Snapin<'a> {
    /// One program, whatever characters are in its path; empty when the file runs itself.
    pub run_with: &'a str,
    /// Arguments between that program and the file.
    pub run_with_args: &'a str,
    /// Arguments behind the file.
    pub args: &'a str,
}

/// Why there is no command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the variants mean")]
pub enum BadCommand {
    #[error("the arguments of the program that runs it cannot be read")]
    RunWithArgs(#[source] BadWords),
    #[error("its arguments cannot be read")]
    Args(#[source] BadWords),
    #[error("the program that runs it has a null character in its path")]
    Null,
    #[error("it is an archive, and no program is named that is run from it (run_with)")]
    NoProgram,
}

/// Program and arguments that run this file: `run_with run_with_args FILE args`, or `FILE args`.
///
/// # Errors
/// [`BadCommand`]
pub fn of_file(snapin: &Snapin<'_>, file: &str) -> Result<Vec<String>, BadCommand> {
    let Some(program) = program(snapin.run_with)? else {
        return with_args(vec![file.to_owned()], snapin);
    };
    let mut argv = vec![program];
    argv.extend(words(snapin.run_with_args).map_err(BadCommand::RunWithArgs)?);
    argv.push(file.to_owned());
    with_args(argv, snapin)
}

/// Program and arguments for an archive that was unpacked to this folder: `run_with run_with_args args`, with the folder in
/// place of [`FOLDER`].
///
/// # Errors
/// [`BadCommand`]
pub fn of_archive(snapin: &Snapin<'_>, folder: &str) -> Result<Vec<String>, BadCommand> {
    let program = program(snapin.run_with)?.ok_or(BadCommand::NoProgram)?;
    let mut argv = vec![program];
    argv.extend(words(snapin.run_with_args).map_err(BadCommand::RunWithArgs)?);
    let mut argv = with_args(argv, snapin)?;
    for word in &mut argv {
        *word = word.replace(FOLDER, folder);
    }
    Ok(argv)
}

/// The one program of a field: without the quotes around it, if it has some.
fn program(field: &str) -> Result<Option<String>, BadCommand> {
    let field = field.trim();
    if field.contains('\0') {
        return Err(BadCommand::Null);
    }
    let inside = |quote: char| field.strip_prefix(quote)?.strip_suffix(quote);
    let bare = inside('"').or_else(|| inside('\'')).unwrap_or(field);
    Ok((!bare.is_empty()).then(|| bare.to_owned()))
}

fn with_args(mut argv: Vec<String>, snapin: &Snapin<'_>) -> Result<Vec<String>, BadCommand> {
    argv.extend(words(snapin.args).map_err(BadCommand::Args)?);
    Ok(argv)
}

/// Whether a file of this name can be written to a folder, and nowhere else.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let is_part = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    is_part && name.len() <= LONGEST_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapin<'a>(run_with: &'a str, run_with_args: &'a str, args: &'a str) -> Snapin<'a> {
        Snapin {
            run_with,
            run_with_args,
            args,
        }
    }

    #[test]
    fn a_file_stands_between_the_arguments_of_its_program_and_its_own() {
        let of = |snapin: Snapin<'_>| of_file(&snapin, "/s/a b.sh").unwrap();
        assert_eq!(of(snapin("", "ignored", "")), ["/s/a b.sh"]);
        assert_eq!(of(snapin("", "", "-x 'y z'")), ["/s/a b.sh", "-x", "y z"]);
        assert_eq!(
            of(snapin(" /bin/sh ", "-e -u", "1 2")),
            ["/bin/sh", "-e", "-u", "/s/a b.sh", "1", "2"]
        );
        assert_eq!(of(snapin("\"/opt/my shell\"", "", ""))[0], "/opt/my shell");
        assert_eq!(of(snapin("/opt/my shell", "", ""))[0], "/opt/my shell");
    }

    #[test]
    fn an_archive_is_run_by_its_program() {
        let pack = snapin("[FOG_SNAPIN_PATH]/run.sh", "--in [FOG_SNAPIN_PATH]", "x");
        let argv = of_archive(&pack, "/s/a b").unwrap();
        assert_eq!(argv, ["/s/a b/run.sh", "--in", "/s/a b", "x"]);
        let none = of_archive(&snapin(" ", "", ""), "/s");
        assert_eq!(none, Err(BadCommand::NoProgram));
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        let quote = snapin("sh", "'", "");
        assert!(matches!(
            of_file(&quote, "f"),
            Err(BadCommand::RunWithArgs(_))
        ));
        let quote = snapin("", "'", "'");
        assert!(matches!(of_file(&quote, "f"), Err(BadCommand::Args(_))));
        assert_eq!(of_file(&snapin("a\0", "", ""), "f"), Err(BadCommand::Null));
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        for good in ["a", "a b.sh", "...", "ä.msi"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/a", "a\0"] {
            assert!(!is_file_name(bad), "{bad:?}");
        }
        assert!(is_file_name(&"x".repeat(255)) && !is_file_name(&"x".repeat(256)));
    }
}
