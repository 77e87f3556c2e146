//! The oldest C library that a program can be used with.

/// The newest `GLIBC_2.N` that the program refers to, as the text `2.N`. None of a program that is
/// linked statically.
pub(crate) fn newest_glibc(program: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"GLIBC_2.";
    let minor = program
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == MARK)
        .filter_map(|(at, _)| minor(&program[at + MARK.len()..]))
        .max()?;
    Some(format!("2.{minor}"))
}

fn minor(rest: &[u8]) -> Option<u32> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    let text: String = digits.map(|byte| char::from(*byte)).collect();
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts_by_number() {
        let text = b"..GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBC_PRIVATE\0GLIBC_2.";
        assert_eq!(newest_glibc(text).as_deref(), Some("2.34"));
        assert_eq!(newest_glibc(b"static"), None);
    }
}
