//! Reads a file of hosts: every line, and what is wrong with each.

use std::collections::{BTreeMap, HashMap};

use csv::{ByteRecord, ReaderBuilder};
use foghorn_types::{DiskRules, MacAddress, check_host_name};
use serde::Serialize;

use super::address::address;
use super::layout::{Column, Layout};
use crate::exit::Failure;

/// A host as a line describes it. What its file has no column for is `None` and stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct HostLine {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) macs: Vec<MacAddress>,
    pub(super) description: Option<String>,
    pub(super) image: Option<String>,
    /// Number of the image where the file was written; 0 for none.
    pub(super) image_number: Option<u32>,
    pub(super) disk: Option<String>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) more: BTreeMap<&'static str, String>,
}

/// Why a line is not taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct BadLine {
    pub(super) line: u64,
    pub(super) field: String,
    pub(super) reason: String,
}

impl BadLine {
    pub(super) fn new(line: u64, field: &str, reason: impl ToString) -> Self {
        Self {
            line,
            field: field.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// What is in a file.
#[derive(Debug)]
pub(super) struct HostFile {
    pub(super) layout: Layout,
    pub(super) hosts: Vec<HostLine>,
    pub(super) bad: Vec<BadLine>,
}

/// # Errors
/// When the file as a whole cannot be read. What is wrong with single lines is part of the result.
pub(super) fn read(bytes: &[u8]) -> Result<HostFile, Failure> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Failure::usage("the file is UTF-16")
            .advise("save it as CSV in UTF-8, or convert it: iconv -f utf-16 -t utf-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(bytes))
        .from_reader(bytes);
    let mut layout = None;
    let (mut hosts, mut bad) = (Vec::new(), Vec::new());
    let (mut record, mut lines) = (ByteRecord::new(), Lines::new(bytes));
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(Failure::usage("the file is not CSV").caused_by(error)),
        }
        let start = record.position().map_or(0, csv::Position::byte);
        let line = lines.at(usize::try_from(start).unwrap_or(usize::MAX));
        let known = match &layout {
            Some(layout) => layout,
            None => {
                let cells: Vec<&str> = record
                    .iter()
                    .map(|cell| std::str::from_utf8(cell).unwrap_or("?"))
                    .collect();
                let found: &Layout = layout.insert(Layout::of_first_line(&cells)?);
                if found.has_header {
                    continue;
                }
                found
            }
        };
        // The reader takes the end of the file for the end of the field.
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        if end >= bytes.len() && is_open(bytes, start, delimiter(bytes)) {
            let why = "a field begins with a quote that is never closed: it would hold the rest of the file";
            bad.push(BadLine::new(line, "(line)", why));
            continue;
        }
        match host(line, &record, known) {
            Ok(Some(host)) => hosts.push(host),
            Ok(None) => {}
            Err(wrong) => bad.push(wrong),
        }
    }
    let Some(layout) = layout else {
        return Err(Failure::usage("the file is empty"));
    };
    refuse_repeated(&mut hosts, &mut bad);
    bad.sort_by_key(|bad| bad.line);
    Ok(HostFile { layout, hosts, bad })
}

/// Whether a quoted field of the record that begins at `start` reaches the end of the file without
/// the quote that closes it.
fn is_open(bytes: &[u8], start: u64, delimiter: u8) -> bool {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let (mut is_quoted, mut at_begin) = (false, true);
    for byte in bytes.get(start..).unwrap_or_default() {
        match byte {
            // Two quotes within a quoted field close it and open it again.
            b'"' if is_quoted || at_begin => (is_quoted, at_begin) = (!is_quoted, is_quoted),
            b'\r' | b'\n' if !is_quoted => at_begin = true,
            byte if !is_quoted && *byte == delimiter => at_begin = true,
            _ => at_begin = false,
        }
    }
    is_quoted
}

/// Numbers of lines. The reader counts the line ends of Windows late and leaves empty lines to the
/// record behind them.
struct Lines<'b> {
    bytes: &'b [u8],
    /// Up to here they are counted.
    counted: usize,
    line: u64,
}

impl<'b> Lines<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        let (counted, line) = (0, 1);
        Self {
            bytes,
            counted,
            line,
        }
    }

    /// The line of the record that the reader found at `start`, which grows.
    fn at(&mut self, start: usize) -> u64 {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let start = start + ends.count();
        let between = self.bytes.get(self.counted..start).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted = start;
        self.line
    }
}

/// Spreadsheets of some languages write semicolons.
fn delimiter(bytes: &[u8]) -> u8 {
    let first = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    match first.contains(&b';') && !first.contains(&b',') {
        true => b';',
        false => b',',
    }
}

/// The host of a line; none of a line without anything in it.
fn host(line: u64, record: &ByteRecord, layout: &Layout) -> Result<Option<HostLine>, BadLine> {
    if record.iter().all(|cell| cell.trim_ascii().is_empty()) {
        return Ok(None);
    }
    if record.len() > layout.columns.len() {
        let (found, most) = (record.len(), layout.columns.len());
        let reason = format!("the line has {found} columns, the format has {most}");
        return Err(BadLine::new(line, "(line)", reason));
    }
    let mut host = HostLine {
        line,
        ..HostLine::default()
    };
    for (place, (cell, column)) in record.iter().zip(&layout.columns).enumerate() {
        let text = std::str::from_utf8(cell).map_err(|error| {
            let byte = cell.get(error.valid_up_to()).copied().unwrap_or_default();
            let reason = format!(
                "the line is not UTF-8 (byte 0x{byte:02X} in column {}): save the file as UTF-8, or \
                 convert it: iconv -f latin1 -t utf-8",
                place + 1
            );
            BadLine::new(line, field(*column), reason)
        })?;
        fill(&mut host, *column, text.trim())
            .map_err(|why| BadLine::new(line, field(*column), why))?;
    }
    check_host_name(&host.name).map_err(|why| BadLine::new(line, "name", why))?;
    if host.macs.is_empty() {
        let why = "a host needs at least one MAC address";
        return Err(BadLine::new(line, "macs", why));
    }
    Ok(Some(host))
}

/// What a column is called in messages.
fn field(column: Column) -> &'static str {
    match column {
        Column::Name => "name",
        Column::Macs => "macs",
        Column::Description => "description",
        Column::Image => "image",
        Column::ImageNumber => "imageID",
        Column::Disk => "disk",
        Column::Groups => "groups",
        Column::Associations => "associations",
        Column::More(name) => name,
        Column::Ignored => "(not used)",
    }
}

fn fill(host: &mut HostLine, column: Column, text: &str) -> Result<(), String> {
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err("it contains control characters".to_owned());
    }
    match column {
        Column::Name => host.name = text.to_owned(),
        Column::Macs => host.macs = addresses(text)?,
        Column::Description => host.description = Some(text.to_owned()),
        Column::Image => host.image = Some(text.to_owned()),
        Column::ImageNumber => {
            let number = if text.is_empty() { "0" } else { text };
            let number = number
                .parse()
                .map_err(|_| format!("{text:?} is not a number"))?;
            host.image_number = Some(number);
        }
        Column::Disk => {
            if !text.is_empty() {
                text.parse::<DiskRules>()
                    .map_err(|error| error.to_string())?;
            }
            host.disk = Some(text.to_owned());
        }
        Column::Groups => host.groups = Some(words(text)),
        Column::Associations => {
            let groups = text
                .split(';')
                .find_map(|part| part.trim().strip_prefix("groups:"));
            host.groups = Some(words(groups.unwrap_or_default()));
        }
        Column::More(name) => drop(host.more.insert(name, text.to_owned())),
        Column::Ignored => {}
    }
    Ok(())
}

fn words(text: &str) -> Vec<String> {
    let words = text
        .split('|')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn addresses(text: &str) -> Result<Vec<MacAddress>, String> {
    let mut found = Vec::new();
    let pieces = text.split(['|', ' ', ',', ';']).map(str::trim);
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let mac = address(piece)?;
        if found.contains(&mac) {
            return Err(format!("the address {mac} is there twice"));
        }
        found.push(mac);
    }
    Ok(found)
}

/// A name or an address that two lines have: the first keeps it.
fn refuse_repeated(hosts: &mut Vec<HostLine>, bad: &mut Vec<BadLine>) {
    let (mut names, mut macs) = (HashMap::new(), HashMap::new());
    hosts.retain(|host| {
        if let Some(first) = names.get(&host.name.to_lowercase()) {
            let reason = format!("line {first} has the host {:?} already", host.name);
            bad.push(BadLine::new(host.line, "name", reason));
            return false;
        }
        if let Some((mac, first)) = host
            .macs
            .iter()
            .find_map(|mac| macs.get(mac).map(|first: &u64| (mac, *first)))
        {
            let reason = format!("line {first} has the address {mac} already");
            bad.push(BadLine::new(host.line, "macs", reason));
            return false;
        }
        names.insert(host.name.to_lowercase(), host.line);
        macs.extend(host.macs.iter().map(|mac| (*mac, host.line)));
        true
    });
}

#[cfg(test)]
mod tests {
    use super::super::layout::Dialect;
    use super::*;

    fn of(text: &[u8]) -> HostFile {
        read(text).unwrap()
    }

    fn told(file: &HostFile) -> Vec<(u64, &str)> {
        file.bad
            .iter()
            .map(|bad| (bad.line, bad.field.as_str()))
            .collect()
    }

    #[test]
    fn a_file_of_our_own_is_read_with_marks_quotes_and_line_ends_of_any_kind() {
        let file = of("\u{feff}name,macs,description,disk,groups\r\n\
            pc1,00:11:22:33:44:01|001122334402,\"Tisch 1, \"\"Fenster\"\"\",only,lab|räume\r\n\
            \r\n\
            pc2,00-11-22-33-44-03,Größe,,\r\n"
            .as_bytes());
        assert_eq!(told(&file), []);
        let [one, two] = &file.hosts[..] else {
            panic!("{file:?}")
        };
        assert_eq!((one.line, one.name.as_str(), one.macs.len()), (2, "pc1", 2));
        assert_eq!(one.description.as_deref(), Some("Tisch 1, \"Fenster\""));
        assert_eq!(one.groups.as_deref().unwrap(), ["lab", "räume"]);
        assert_eq!((two.line, two.description.as_deref()), (4, Some("Größe")));
        assert_eq!(
            (two.disk.as_deref(), two.image.as_deref()),
            (Some(""), None)
        );
        let semicolons = of(b"name;macs\npc1;00:11:22:33:44:01\n");
        assert_eq!(semicolons.hosts.len(), 1);
    }

    #[test]
    fn an_export_of_a_fog_server_is_read_with_and_without_headings() {
        let bare = "00:11:22:33:44:55|00:11:22:33:44:66,PC-Lab-01,Front lab PC,,4,,,,,0,,,,,,,5,,,/dev/sda,\
            0,,,,1,0,0,0,,,,\"groups:Lab A|Lab B;snapins:7zip\"\n";
        let file = of(bare.as_bytes());
        assert_eq!(file.layout.dialect, Dialect::Fog);
        let host = &file.hosts[0];
        assert_eq!(
            (host.name.as_str(), host.image_number),
            ("PC-Lab-01", Some(4))
        );
        assert_eq!(host.disk.as_deref(), Some("/dev/sda"));
        assert_eq!(host.groups.as_deref().unwrap(), ["Lab A", "Lab B"]);
        assert_eq!(host.more["printerLevel"], "5");
        let headed = of(b"name,primac,associations\nPC-Lab-01,00:11:22:33:44:55,snapins:7zip\n");
        assert_eq!(headed.hosts[0].groups.as_deref().unwrap(), [""; 0]);
        assert_eq!(headed.hosts[0].image_number, None);
    }

    #[test]
    fn each_bad_line_is_told_with_its_number_and_field() {
        let mut text = b"name,macs,description,disk\n\
            pc1,00:11:22:33:44:01,,\n\
            pc1 ,00:11:22:33:44:02,,\n\
            pc3,00:11:22:33:44:01,,\n\
            a-name-that-is-too-long,00:11:22:33:44:04,,\n\
            pc5,zz,,\n\
            pc6,,,\n\
            pc7,00:11:22:33:44:07,,sda\n\
            pc8,00:11:22:33:44:08,,,too,many\n"
            .to_vec();
        text.extend(b"pc9,00:11:22:33:44:09,Gr\xf6\xdfe,\n");
        let file = of(&text);
        let expected = [
            (3, "name"),
            (4, "macs"),
            (5, "name"),
            (6, "macs"),
            (7, "macs"),
            (8, "disk"),
            (9, "(line)"),
            (10, "description"),
        ];
        assert_eq!(told(&file), expected);
        assert_eq!(file.hosts.len(), 1);
        let why = |at: usize| file.bad[at].reason.as_str();
        assert_eq!(why(0), "line 2 has the host \"pc1\" already");
        assert!(why(5).contains("did you mean path:/dev/sda?"), "{}", why(5));
        assert!(
            why(7).contains("not UTF-8 (byte 0xF6 in column 3)"),
            "{}",
            why(7)
        );
    }

    #[test]
    fn a_file_that_is_none_is_refused_as_a_whole() {
        for text in [
            &b""[..],
            b"\n\n",
            b"\xff\xfen\0a\0",
            b"\x7fELF\x02\x01",
            b"pc1\npc2\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        let open = of(b"name,macs\n\"pc1,00:11:22:33:44:01\npc2,00:11:22:33:44:02\n");
        assert_eq!((open.hosts.len(), told(&open)), (0, vec![(2, "(line)")]));
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_no_further_lines_with_it() {
        let start = "name,macs,description\npc1,00:11:22:33:44:01,\"a \"\"b\"\"\"\n\
            pc2,00:11:22:33:44:02,";
        for rest in ["\"open\npc3,00:11:22:33:44:03,x\n", "\"open \"\"\n", "\""] {
            let file = of(format!("{start}{rest}").as_bytes());
            assert_eq!(told(&file), [(3, "(line)")], "{rest:?}");
            assert_eq!(file.hosts.len(), 1, "{rest:?}");
        }
        for rest in [
            "\"closed\"",
            "6\" disk",
            "\"\"",
            "\"a \"\"b\"\"\"\n",
            "\"a\nb\"\n\n",
        ] {
            let file = of(format!("{start}{rest}").as_bytes());
            assert_eq!((told(&file), file.hosts.len()), (vec![], 2), "{rest:?}");
        }
    }
}
