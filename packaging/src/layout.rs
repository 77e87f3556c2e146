//! What is installed, and where.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::manuals;
use crate::sources::Sources;

/// A package, which is a program with what belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Package {
    Controller,
    Agent,
    CommandLine,
    Client,
    Host,
}

/// A unit, and the configuration that it reads.
pub(crate) struct Service {
    pub(crate) unit: &'static str,
    pub(crate) unit_text: &'static str,
    pub(crate) config: &'static str,
    pub(crate) config_text: &'static str,
}

macro_rules! page {
    ($name:literal) => {
        ($name, include_str!(concat!("../../docs/", $name)))
    };
}
/// What an administrator reads, in folders as here, so that links lead somewhere.
const PAGES: [(&str, &str); 36] = [
    page!("quick-start.md"),
    page!("cli.md"),
    page!("security.md"),
    page!("fog-compatibility.md"),
    page!("glossary.md"),
    page!("host-service.md"),
    page!("operations/README.md"),
    page!("operations/a-room-by-hand.md"),
    page!("operations/after-imaging.md"),
    page!("operations/backup.md"),
    page!("operations/coming-from-fog.md"),
    page!("operations/configuration.md"),
    page!("operations/disks.md"),
    page!("operations/host-lists.md"),
    page!("operations/install.md"),
    page!("operations/joining.md"),
    page!("operations/multicast.md"),
    page!("operations/notifications.md"),
    page!("operations/observability.md"),
    page!("operations/reverse-proxy.md"),
    page!("operations/losing-a-node.md"),
    page!("operations/losing-a-site.md"),
    page!("operations/losing-quorum.md"),
    page!("operations/upgrading.md"),
    page!("operations/capacity.md"),
    page!("operations/cold-copy.md"),
    page!("operations/alerts.yml"),
    page!("operations/replication.md"),
    page!("operations/rings.md"),
    page!("operations/several-controllers.md"),
    page!("operations/sites.md"),
    page!("operations/etcd.md"),
    page!("operations/growing.md"),
    page!("operations/snapins.md"),
    page!("operations/what-a-capture-takes.md"),
    page!("operations/windows.md"),
];

/// What is the same for every unit.
const HARDENING: &str = include_str!("../files/hardening.conf");
const CONTROLLER: Service = Service {
    unit: "foghorn-controller.service",
    unit_text: include_str!("../files/foghorn-controller.service"),
    config: "controller.toml",
    config_text: include_str!("../files/controller.toml"),
};
const AGENT: Service = Service {
    unit: "foghorn-agent.service",
    unit_text: include_str!("../files/foghorn-agent.service"),
    config: "agent.toml",
    config_text: include_str!("../files/agent.toml"),
};
const SERVE: Service = Service {
    unit: "foghorn-serve.service",
    unit_text: include_str!("../files/foghorn-serve.service"),
    config: "serve.toml",
    config_text: include_str!("../../docs/operations/serve.toml"),
};

/// Units of the host service, whose settings come with the identity of the machine.
pub(crate) const HOST_UNITS: [(&str, &str); 2] = [
    (
        "foghorn-host.service",
        include_str!("../files/foghorn-host.service"),
    ),
    (
        "foghorn-host-extract.service",
        include_str!("../files/foghorn-host-extract.service"),
    ),
];

/// Remote actions of the host service.
const ACTIONS: [(&str, &str); 2] = [
    ("reboot", include_str!("../files/actions/reboot")),
    ("reimage", include_str!("../files/actions/reimage")),
];

impl Package {
    pub(crate) const ALL: [Self; 5] = [
        Self::Controller,
        Self::Agent,
        Self::CommandLine,
        Self::Client,
        Self::Host,
    ];

    /// Of the package and of its program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Controller => "foghorn-controller",
            Self::Agent => "foghorn-agent",
            Self::CommandLine => "foghorn",
            Self::Client => "foghorn-client",
            Self::Host => "foghorn-host",
        }
    }

    /// Section of its manual. `foghorn-host` in section 1 is the page of `foghorn host`.
    pub(crate) fn section(self) -> &'static str {
        match self {
            Self::Host => "8",
            _ => "1",
        }
    }

    /// Of the libraries that are linked into the program; see `build.rs`.
    pub(crate) fn licences(self) -> &'static [u8] {
        match self {
            Self::Controller => include_bytes!(concat!(env!("OUT_DIR"), "/foghorn-controller")),
            Self::Agent => include_bytes!(concat!(env!("OUT_DIR"), "/foghorn-agent")),
            Self::CommandLine => include_bytes!(concat!(env!("OUT_DIR"), "/foghorn")),
            Self::Client => include_bytes!(concat!(env!("OUT_DIR"), "/foghorn-client")),
            Self::Host => include_bytes!(concat!(env!("OUT_DIR"), "/foghorn-host")),
        }
    }

    /// The same libraries as a list of CycloneDX's components.
    pub(crate) fn components(self) -> &'static [u8] {
        macro_rules! of {
            ($name:literal) => {
                include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".json"))
            };
        }
        match self {
            Self::Controller => of!("foghorn-controller"),
            Self::Agent => of!("foghorn-agent"),
            Self::CommandLine => of!("foghorn"),
            Self::Client => of!("foghorn-client"),
            Self::Host => of!("foghorn-host"),
        }
    }

    pub(crate) fn service(self) -> Option<&'static Service> {
        match self {
            Self::Controller => Some(&CONTROLLER),
            Self::Agent => Some(&AGENT),
            Self::CommandLine => Some(&SERVE),
            Self::Client | Self::Host => None,
        }
    }
}

/// The folders of an installation.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) prefix: PathBuf,
    pub(crate) sysconfdir: PathBuf,
    /// Of zsh and fish: a distribution's packages have other folders than the administrator.
    zsh: &'static str,
}

impl Places {
    pub(crate) fn of(prefix: PathBuf, sysconfdir: PathBuf) -> Self {
        let zsh = if prefix == Path::new("/usr") {
            "share/zsh/vendor-completions"
        } else {
            "share/zsh/site-functions"
        };
        Self {
            prefix,
            sysconfdir,
            zsh,
        }
    }

    /// Those of a Debian package.
    pub(crate) fn debian() -> Self {
        Self::of("/usr".into(), "/etc".into())
    }

    /// A text with the names of folders filled in.
    fn fill(&self, text: &str) -> String {
        text.replace("@PREFIX@", &self.prefix.to_string_lossy())
            .replace("@SYSCONFDIR@", &self.sysconfdir.to_string_lossy())
            .replace("@HARDENING@\n", HARDENING)
            // The journal is no place for the first credentials.
            .replace("\n#first_run_file = ", "\nfirst_run_file = ")
    }
}

/// One file of an installation.
pub(crate) struct Piece {
    /// Absolute.
    pub(crate) to: PathBuf,
    pub(crate) mode: u32,
    pub(crate) content: Content,
    /// Belongs to the administrator once it is there.
    pub(crate) is_config: bool,
}

pub(crate) enum Content {
    /// A compiled program.
    Program(PathBuf),
    Bytes(Vec<u8>),
    /// Where a symbolic link leads.
    Link(PathBuf),
}

/// The client's file for download, named after the machines that it runs on.
pub(crate) fn client_file() -> String {
    format!("foghorn-client-{}", std::env::consts::ARCH)
}

/// The files of a package. Without `sources`, those that are no programs, and programs without
/// content.
///
/// # Errors
/// When a program was not compiled, or a manual cannot be made.
pub(crate) fn pieces(
    package: Package,
    places: &Places,
    sources: Option<&Sources>,
) -> Result<Vec<Piece>> {
    let mut pieces = programs(package, places, sources)?;
    let share = places.prefix.join("share");
    let plain = |to: PathBuf, bytes: Vec<u8>| Piece {
        to,
        mode: 0o644,
        content: Content::Bytes(bytes),
        is_config: false,
    };
    for page in manuals::pages(package)? {
        let folder = format!("man/man{}", package.section());
        pieces.push(plain(share.join(folder).join(page.name), page.packed));
    }
    for script in manuals::completions(package) {
        let folder = match script.shell {
            "bash" => places.prefix.join("share/bash-completion/completions"),
            "zsh" => places.prefix.join(places.zsh),
            _ => places.prefix.join("share/fish/vendor_completions.d"),
        };
        pieces.push(plain(folder.join(script.name), script.text));
    }
    let doc = share.join("doc").join(package.name());
    let changes = manuals::pack(include_bytes!("../../CHANGELOG.md"))?;
    pieces.push(plain(doc.join("CHANGELOG.md.gz"), changes));
    pieces.push(plain(
        doc.join("copyright"),
        include_bytes!("../files/copyright").to_vec(),
    ));
    let licences = manuals::pack(package.licences())?;
    pieces.push(plain(doc.join("third-party-licences.gz"), licences));
    if package == Package::CommandLine {
        for (name, text) in PAGES {
            pieces.push(plain(doc.join("docs").join(name), text.as_bytes().to_vec()));
        }
    }
    let units = places.prefix.join("lib/systemd/system");
    if package == Package::Host {
        for (name, text) in HOST_UNITS {
            pieces.push(plain(units.join(name), places.fill(text).into_bytes()));
        }
        for (name, text) in ACTIONS {
            pieces.push(Piece {
                to: share.join("fioconfig/actions").join(name),
                mode: 0o755,
                content: Content::Bytes(text.as_bytes().to_vec()),
                is_config: false,
            });
        }
    }
    if let Some(service) = package.service() {
        let unit = places.fill(service.unit_text).into_bytes();
        pieces.push(plain(units.join(service.unit), unit));
        // It may hold a token or a password; `Group=` of the unit reads it.
        pieces.push(Piece {
            to: places.sysconfdir.join("foghorn").join(service.config),
            mode: 0o640,
            content: Content::Bytes(places.fill(service.config_text).into_bytes()),
            is_config: true,
        });
    }
    Ok(pieces)
}

/// The program of a package. The client is there once, under the name for download, and the command
/// is a link to it.
pub(crate) fn programs(
    package: Package,
    places: &Places,
    sources: Option<&Sources>,
) -> Result<Vec<Piece>> {
    let program = |to: PathBuf, content| Piece {
        to,
        mode: 0o755,
        content,
        is_config: false,
    };
    let command = places.prefix.join("bin").join(package.name());
    if package != Package::Client {
        let from = sources.map(|sources| match package {
            Package::Host => sources.host(),
            _ => sources.program(package.name()),
        });
        let from = from.transpose()?.unwrap_or_default();
        return Ok(vec![program(command, Content::Program(from))]);
    }
    let from = sources
        .map(Sources::client)
        .transpose()?
        .unwrap_or_default();
    let file = client_file();
    ensure!(
        !file.contains('/'),
        "the name of the client's file is a path"
    );
    let shared = places.prefix.join("lib/foghorn/clients").join(&file);
    let link = Path::new("../lib/foghorn/clients").join(&file);
    Ok(vec![
        program(shared, Content::Program(from)),
        program(command, Content::Link(link)),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_file_is_in_two_packages() {
        let mut seen = HashSet::new();
        for package in Package::ALL {
            for piece in pieces(package, &Places::debian(), None).unwrap() {
                assert!(seen.insert(piece.to.clone()), "{}", piece.to.display());
            }
        }
    }

    #[test]
    fn every_package_names_the_libraries_in_it_with_their_licences() {
        for package in Package::ALL {
            let text = String::from_utf8_lossy(package.licences()).into_owned();
            assert!(text.contains("\nserde 1."), "{package:?}");
            assert!(text.contains("Permission is hereby granted"), "{package:?}");
            assert!(!text.contains("\nfoghorn-types"), "{package:?}");
        }
        let client = Package::Client.licences();
        let client = String::from_utf8_lossy(client);
        assert!(!client.contains("\nredb "), "the client has no store");
    }

    #[test]
    fn every_page_of_operations_is_installed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let page = format!("operations/{name}");
            assert!(
                !name.ends_with(".md") || PAGES.iter().any(|(name, _)| *name == page),
                "{page}"
            );
        }
    }

    #[test]
    fn units_name_the_folders_of_the_installation() {
        let places = Places::of("/opt/foghorn".into(), "/opt/etc".into());
        for package in [Package::Controller, Package::Agent, Package::CommandLine] {
            let unit = places.fill(package.service().unwrap().unit_text);
            assert!(
                unit.contains("ExecStart=/opt/foghorn/bin/foghorn"),
                "{unit}"
            );
            assert!(unit.contains("/opt/etc/foghorn/"), "{unit}");
            assert!(unit.contains("NoNewPrivileges=yes"), "{unit}");
            for name in ["@PREFIX@", "@SYSCONFDIR@", "@HARDENING@"] {
                assert!(!unit.contains(name), "{unit}");
            }
        }
    }

    #[test]
    fn the_host_service_has_its_units_and_no_configuration() {
        let places = Places::of("/opt/foghorn".into(), "/opt/etc".into());
        let pieces = pieces(Package::Host, &places, None).unwrap();
        assert!(pieces.iter().all(|piece| !piece.is_config));
        for (name, start) in [
            ("foghorn-host.service", "run"),
            ("foghorn-host-extract.service", "extract"),
        ] {
            let unit = Path::new("/opt/foghorn/lib/systemd/system").join(name);
            let found = pieces.iter().find(|piece| piece.to == unit).unwrap();
            let Content::Bytes(bytes) = &found.content else {
                panic!("{name} is no text");
            };
            let text = String::from_utf8_lossy(bytes);
            let start = format!("ExecStart=/opt/foghorn/bin/foghorn-host {start}\n");
            assert!(text.contains(&start) && !text.contains('@'), "{text}");
        }
        // Where the program looks for them unless it is told otherwise.
        let debian = super::pieces(Package::Host, &Places::debian(), None).unwrap();
        for (name, _) in ACTIONS {
            let action = Path::new("/usr/share/fioconfig/actions").join(name);
            let found = debian.iter().find(|piece| piece.to == action).unwrap();
            assert_eq!(found.mode, 0o755);
        }
    }

    #[test]
    fn every_program_has_a_manual_and_completions_for_three_shells() {
        for package in Package::ALL {
            let paths: Vec<String> = pieces(package, &Places::debian(), None)
                .unwrap()
                .iter()
                .map(|piece| piece.to.to_string_lossy().into_owned())
                .collect();
            let (name, section) = (package.name(), package.section());
            for path in [
                format!("/usr/share/man/man{section}/{name}.{section}.gz"),
                format!("/usr/share/bash-completion/completions/{name}"),
                format!("/usr/share/zsh/vendor-completions/_{name}"),
                format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
            ] {
                assert!(paths.contains(&path), "{path}: {paths:?}");
            }
        }
    }
}
