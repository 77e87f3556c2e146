//! Addresses as people write them.

use foghorn_types::MacAddress;

/// Lists often have twelve digits and nothing between them.
pub(super) fn address(text: &str) -> Result<MacAddress, String> {
    let text = text.trim();
    let bare = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let spelled = if bare {
        format!("{}.{}.{}", &text[..4], &text[4..8], &text[8..])
    } else {
        text.to_owned()
    };
    spelled
        .parse()
        .map_err(|error: foghorn_types::ParseMacError| error.to_string())
}
