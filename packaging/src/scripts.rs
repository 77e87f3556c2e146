//! Debian's maintainer scripts: the same for every service of a server but for names, and others for the service
//! on imaged machines.

use crate::layout::{Package, Service};

const POSTINST: &str = include_str!("../files/debian/postinst");
const PRERM: &str = include_str!("../files/debian/prerm");
const POSTRM: &str = include_str!("../files/debian/postrm");
const HOST_POSTINST: &str = include_str!("../files/debian/host-postinst");
const HOST_PRERM: &str = include_str!("../files/debian/host-prerm");
const HOST_POSTRM: &str = include_str!("../files/debian/host-postrm");

/// The scripts of a package, with their names.
pub(crate) fn scripts(package: Package) -> Vec<(&'static str, String)> {
    let names = ["postinst", "prerm", "postrm"];
    let texts = match (package.service(), package) {
        (Some(service), _) => [POSTINST, PRERM, POSTRM].map(|script| fill(script, service)),
        (None, Package::Host) => [HOST_POSTINST, HOST_PRERM, HOST_POSTRM].map(str::to_owned),
        (None, _) => return Vec::new(),
    };
    names.into_iter().zip(texts).collect()
}

/// A script for one service.
fn fill(script: &str, service: &Service) -> String {
    script
        .replace("@UNIT@", service.unit)
        .replace("@CONFIG@", service.config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::HOST_UNITS;

    #[test]
    fn scripts_of_the_host_service_name_its_units_and_leave_nothing_to_fill_in() {
        let scripts = scripts(Package::Host);
        for (name, text) in &scripts {
            assert!(!text.contains('@'), "{name}: {text}");
            assert!(text.contains(HOST_UNITS[0].0), "{name}: {text}");
        }
        for (unit, _) in HOST_UNITS {
            assert!(scripts[0].1.contains(unit), "{unit}");
        }
    }
}
