//! The file of who is logged in, `utmp`, as `utmp(5)` of Linux describes it.

use foghorn_types::Timestamp;

/// Somebody's log-in: `USER_PROCESS` in the manual.
const USER_PROCESS: i16 = 7;
/// Where the fields that all architectures have in one place are.
const PID: usize = 4;
const LINE: std::ops::Range<usize> = 8..40;
const USER: std::ops::Range<usize> = 44..76;

/// How long its times are, which differs between architectures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// 32 bits, as on `x86_64`.
    Narrow,
    /// 64 bits, as on `aarch64`.
    Wide,
}

impl Layout {
    /// That of the machine for which this was compiled.
    #[must_use]
    pub const fn here() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Wide
        } else {
            Self::Narrow
        }
    }

    /// Bytes of one record.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Narrow => 384,
            Self::Wide => 400,
        }
    }

    fn since(self, record: &[u8]) -> Option<Timestamp> {
        let (seconds, micros) = match self {
            Self::Narrow => (
                i64::from(i32::from_le_bytes(bytes(record, 340)?)),
                i64::from(i32::from_le_bytes(bytes(record, 344)?)),
            ),
            Self::Wide => (
                i64::from_le_bytes(bytes(record, 344)?),
                i64::from_le_bytes(bytes(record, 352)?),
            ),
        };
        let millis = seconds.checked_mul(1000)?.checked_add(micros / 1000)?;
        Some(Timestamp::from_millis(millis))
    }
}

/// A log-in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Name of the user.
    pub user: String,
    /// The terminal.
    pub line: String,
    /// Process that has written it. When it is gone, so is the user.
    pub pid: u32,
    /// When.
    pub since: Timestamp,
}

/// Log-ins that the file has. What is cut off at its end, and what makes no sense, is none.
#[must_use]
pub fn logins(file: &[u8], layout: Layout) -> Vec<Login> {
    let records = file.chunks_exact(layout.size());
    records.filter_map(|record| login(record, layout)).collect()
}

fn login(record: &[u8], layout: Layout) -> Option<Login> {
    if i16::from_le_bytes(bytes(record, 0)?) != USER_PROCESS {
        return None;
    }
    let user = text(record.get(USER)?);
    let pid = u32::try_from(i32::from_le_bytes(bytes(record, PID)?)).ok()?;
    let login = Login {
        line: text(record.get(LINE)?),
        since: layout.since(record)?,
        user,
        pid,
    };
    (!login.user.is_empty()).then_some(login)
}

fn bytes<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..)?.first_chunk().copied()
}

/// Up to the first zero, if there is one.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(layout: Layout, kind: i16, login: &Login) -> Vec<u8> {
        let mut record = vec![0; layout.size()];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &kind.to_le_bytes());
        put(4, &login.pid.to_le_bytes());
        put(8, login.line.as_bytes());
        put(44, login.user.as_bytes());
        put(76, b"host.example");
        let seconds = login.since.as_millis().div_euclid(1000);
        let micros = login.since.as_millis().rem_euclid(1000) * 1000;
        match layout {
            Layout::Narrow => {
                put(340, &i32::try_from(seconds).unwrap().to_le_bytes());
                put(344, &i32::try_from(micros).unwrap().to_le_bytes());
            }
            Layout::Wide => {
                put(344, &seconds.to_le_bytes());
                put(352, &micros.to_le_bytes());
            }
        }
        record
    }

    fn anna() -> Login {
        Login {
            user: "anna".to_owned(),
            line: "tty2".to_owned(),
            pid: 812,
            since: Timestamp::from_millis(1_700_000_000_250),
        }
    }

    #[test]
    fn users_are_read_and_other_records_are_not() {
        for layout in [Layout::Narrow, Layout::Wide] {
            let long = Login {
                // As long as the field, without a zero at its end.
                user: "x".repeat(32),
                line: "y".repeat(32),
                ..anna()
            };
            let boot = record(layout, 2, &anna());
            let dead = record(layout, 8, &anna());
            let mut file = [boot, record(layout, 7, &anna()), dead].concat();
            file.extend(record(layout, 7, &long));
            let unnamed = Login {
                user: String::new(),
                ..anna()
            };
            file.extend(record(layout, 7, &unnamed));
            assert_eq!(logins(&file, layout), [anna(), long.clone()]);
            // The last record is being written.
            file.truncate(layout.size() * 4 - 1);
            assert_eq!(logins(&file, layout), [anna()]);
        }
    }

    /// A record that `login` of util-linux has written on `x86_64`.
    #[test]
    fn the_layout_is_that_of_the_manual() {
        let mut record = vec![0_u8; 384];
        record[..2].copy_from_slice(&[7, 0]);
        record[4..8].copy_from_slice(&[0x2c, 3, 0, 0]);
        record[8..12].copy_from_slice(b"tty1");
        record[40..44].copy_from_slice(b"tty1");
        record[44..48].copy_from_slice(b"root");
        record[336..340].copy_from_slice(&[0x2c, 3, 0, 0]);
        record[340..344].copy_from_slice(&1_700_000_000_u32.to_le_bytes());
        let found = logins(&record, Layout::Narrow);
        assert_eq!((found[0].user.as_str(), found[0].pid), ("root", 812));
        assert_eq!(found[0].since.to_string(), "2023-11-14T22:13:20Z");
    }

    proptest! {
        #[test]
        fn any_file_is_read(file in prop::collection::vec(any::<u8>(), 0..1300), narrow: bool) {
            let layout = if narrow { Layout::Narrow } else { Layout::Wide };
            prop_assert!(logins(&file, layout).len() <= file.len() / layout.size());
        }
    }
}
