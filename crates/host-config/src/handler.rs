//! Which handlers may run.

/// The program that is run for the first argument of a handler, if it lies below `folder`; its path without `.`, `..` and
/// double slashes, which is what must be run, so that what was looked at is what runs. Nothing is looked up on the disk.
#[must_use]
pub fn allowed_program(program: &str, folder: &str) -> Option<String> {
    let (program, folder) = (cleaned(program)?, cleaned(folder)?);
    let below = program.strip_prefix(&folder)?;
    (folder == "/" || below.starts_with('/')).then_some(program)
}

/// An absolute path in its shortest form; `None` when it is not absolute.
fn cleaned(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_folder_is_allowed() {
        let folder = "/usr/share/fioconfig/handlers/";
        let allowed = |program| allowed_program(program, folder);
        let whole = "/usr/share/fioconfig/handlers/h".to_owned();
        for program in [
            "/usr/share/fioconfig/handlers/h",
            "/usr/share/fioconfig/handlers//./h",
            "/usr/share/../share/fioconfig/handlers/h",
            "/usr/share/fioconfig/handlers/../handlers/x/../h",
        ] {
            assert_eq!(allowed(program), Some(whole.clone()), "{program}");
        }
        for program in [
            "",
            "h",
            "/bin/sh",
            "/usr/share/fioconfig/handlers",
            "/usr/share/fioconfig/handlers/",
            "/usr/share/fioconfig/handlers/../h",
            "/usr/share/fioconfig/handlers-of-others/h",
            "usr/share/fioconfig/handlers/h",
            "/../../bin/sh",
        ] {
            assert_eq!(allowed(program), None, "{program}");
        }
    }
}
