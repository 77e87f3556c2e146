//! Settings of the installation, by name. FOG calls them services.
//!
//! Two of them are the API's switch and token, which live in [`crate::state::settings::ApiSettings`]: their rows are
//! windows on it, so that there is one truth whichever way it is changed.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};
use crate::state::value::fold;

/// A setting.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Service {
    pub id: u32,
    pub name: String,
    pub description: String,
    /// Empty for the settings of the API.
    pub value: String,
    pub category: String,
}

/// Whether the API is on.
pub const API_ENABLED: &str = "FOG_API_ENABLED";
/// The token that every request carries.
pub const API_TOKEN: &str = "FOG_API_TOKEN";

/// Settings whose value is shown only to administrators who ask for it.
const SECRETS: &[&str] = &[
    API_TOKEN,
    "FOG_TFTP_FTP_PASSWORD",
    "FOG_AD_DEFAULT_PASSWORD",
    "FOG_AD_DEFAULT_PASSWORD_LEGACY",
    "FOG_PROXY_PASSWORD",
];

fn is_one_of(name: &str, names: &[&str]) -> bool {
    let name = fold(name);
    names.contains(&name.as_str())
}

impl Service {
    pub(crate) fn is_of_api(&self) -> bool {
        is_one_of(&self.name, &[API_ENABLED, API_TOKEN])
    }
}

impl Class for Service {
    const NAME: &'static str = "service";
    const ABOUT: &'static str =
        "A setting of the installation. Its description says whether it has an effect here.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "name", 255, name)
            .required()
            .about("Name of the setting; no two share one."),
        field!(long_text, "description", description).about("What the setting does, in words."),
        field!(long_text, "value", value)
            .secret_in(|c| is_one_of(&c.name, SECRETS))
            .about("The value, as a text. A token is never shown: only its hash is stored."),
        field!(long_text, "category", category).about("Heading under which the setting is shown."),
    ];

    id_in_field!();
    unique_name!();
}
