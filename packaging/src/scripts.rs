//! Debian's maintainer scripts, which are the same for every service but for names.

use crate::layout::Service;

pub(crate) const POSTINST: &str = include_str!("../files/debian/postinst");
pub(crate) const PRERM: &str = include_str!("../files/debian/prerm");
pub(crate) const POSTRM: &str = include_str!("../files/debian/postrm");

/// A script for one service.
pub(crate) fn fill(script: &str, service: &Service) -> String {
    script
        .replace("@UNIT@", service.unit)
        .replace("@CONFIG@", service.config)
}
