//! What the columns of a file mean: our own format, or the one in which a FOG server exports its
//! hosts. The first line decides.

use super::address::address;
use crate::exit::Failure;

/// What a column contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Column {
    Name,
    /// Addresses with `|` between them, the primary one first.
    Macs,
    Description,
    /// Name of an image.
    Image,
    /// Number of an image on the server that wrote the file.
    ImageNumber,
    Disk,
    /// Names of groups with `|` between them.
    Groups,
    /// `label:value|value;label:value`; of these, the groups are read.
    Associations,
    /// A field that is stored as it is.
    More(&'static str),
    /// Means nothing here, or nothing outside the server that wrote it.
    Ignored,
}

/// Whose format it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Dialect {
    /// Our own: name, macs, description, image, disk, groups
    Foghorn,
    /// As a FOG server exports and imports hosts
    Fog,
}

/// The columns of a file, and whether its first line only names them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub(super) dialect: Dialect,
    pub(super) columns: Vec<Column>,
    pub(super) has_header: bool,
}

/// Headings of our own format.
pub(super) const OWN: [(&str, Column); 6] = [
    ("name", Column::Name),
    ("macs", Column::Macs),
    ("description", Column::Description),
    ("image", Column::Image),
    ("disk", Column::Disk),
    ("groups", Column::Groups),
];

/// Columns of FOG's format, in the order in which it expects them where no line names them.
pub(super) const FOG: [(&str, Column); 32] = [
    ("primac", Column::Macs),
    ("name", Column::Name),
    ("description", Column::Description),
    ("ip", Column::More("ip")),
    ("imageID", Column::ImageNumber),
    ("building", Column::More("building")),
    ("createdTime", Column::Ignored),
    ("deployed", Column::Ignored),
    ("createdBy", Column::Ignored),
    ("useAD", Column::More("useAD")),
    ("ADDomain", Column::More("ADDomain")),
    ("ADOU", Column::More("ADOU")),
    ("ADUser", Column::More("ADUser")),
    ("ADPass", Column::Ignored),
    ("ADPassLegacy", Column::Ignored),
    ("productKey", Column::Ignored),
    ("printerLevel", Column::More("printerLevel")),
    ("kernelArgs", Column::More("kernelArgs")),
    ("kernel", Column::More("kernel")),
    ("kernelDevice", Column::Disk),
    ("init", Column::More("init")),
    ("pending", Column::Ignored),
    ("pub_key", Column::Ignored),
    ("sec_tok", Column::Ignored),
    ("sec_time", Column::Ignored),
    ("pingstatus", Column::Ignored),
    ("biosexit", Column::More("biosexit")),
    ("efiexit", Column::More("efiexit")),
    ("enforce", Column::More("enforce")),
    ("token", Column::Ignored),
    ("tokenlock", Column::Ignored),
    ("associations", Column::Associations),
];

impl Layout {
    /// What the first line says of a file.
    ///
    /// # Errors
    /// When it is of neither format.
    pub(super) fn of_first_line(cells: &[&str]) -> Result<Self, Failure> {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| cell.trim().to_lowercase())
            .collect();
        let has = |name: &str| cells.iter().any(|cell| cell == name);
        if has("primac") && has("name") {
            return named(&cells, Dialect::Fog, &FOG);
        }
        if has("name") && (has("macs") || has("mac")) {
            return named(&cells, Dialect::Foghorn, &OWN);
        }
        if cells.first().is_some_and(|cell| looks_like_addresses(cell)) {
            return Ok(Self {
                dialect: Dialect::Fog,
                columns: FOG.iter().map(|(_, column)| *column).collect(),
                has_header: false,
            });
        }
        Err(Failure::usage(
            "line 1 neither names the columns nor begins with a MAC address, so this is neither our \
             format nor the host export of a FOG server",
        )
        .advise("begin the file with: name,macs,description,image,disk,groups"))
    }
}

/// Columns by their headings. FOG ignores headings that it does not know; we do not guess.
fn named(cells: &[String], dialect: Dialect, known: &[(&str, Column)]) -> Result<Layout, Failure> {
    let mut columns = Vec::with_capacity(cells.len());
    for cell in cells {
        let cell = if cell == "mac" { "macs" } else { cell };
        let found = known
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(cell));
        let Some((name, column)) = found else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(
                Failure::usage(format!("line 1: there is no column {cell:?}"))
                    .advise(format!("remove it; the columns are {}", names.join(", "))),
            );
        };
        if *column != Column::Ignored && columns.contains(column) {
            return Err(Failure::usage(format!(
                "line 1 has the column {name} twice"
            )));
        }
        columns.push(*column);
    }
    Ok(Layout {
        dialect,
        columns,
        has_header: true,
    })
}

fn looks_like_addresses(cell: &str) -> bool {
    let first = cell.split('|').next().unwrap_or_default();
    address(first).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(line: &str) -> Layout {
        Layout::of_first_line(&line.split(',').collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_first_line_decides() {
        let own = layout("Name, MACs,disk");
        assert_eq!((own.dialect, own.has_header), (Dialect::Foghorn, true));
        assert_eq!(own.columns, [Column::Name, Column::Macs, Column::Disk]);
        let fog = layout("name,PRIMAC,productkey,associations");
        assert_eq!(fog.dialect, Dialect::Fog);
        assert_eq!(
            fog.columns,
            [
                Column::Name,
                Column::Macs,
                Column::Ignored,
                Column::Associations
            ]
        );
        let bare = layout("00:11:22:33:44:55|00:11:22:33:44:66,PC-Lab-01,Front");
        assert_eq!((bare.dialect, bare.has_header), (Dialect::Fog, false));
        assert_eq!(bare.columns[4], Column::ImageNumber);
        assert_eq!(bare.columns[19], Column::Disk);
        assert_eq!(bare.columns[31], Column::Associations);
    }

    #[test]
    fn what_is_of_neither_format_is_refused() {
        for line in [
            "pc1,00:11:22:33:44:55",
            "",
            "name,serial",
            "name,macs,nmae",
            "name,macs,mac",
        ] {
            let cells: Vec<&str> = line.split(',').collect();
            assert!(Layout::of_first_line(&cells).is_err(), "{line}");
        }
    }
}
