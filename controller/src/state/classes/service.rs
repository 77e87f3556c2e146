//! Settings of the installation, by name. FOG calls them services.
//!
//! Two of them are the API's switch and token, which live in [`crate::state::settings::ApiSettings`]: their rows are
//! windows on it, so that there is one truth whichever way it is changed.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;
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
        Field::text("name", 255, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the setting; no two share one."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("What the setting does, in words."),
        Field::long_text("value", |c: &Self| &c.value, |c| &mut c.value)
            .secret_in(|c| is_one_of(&c.name, SECRETS))
            .about("The value, as a text. A token is never shown: only its hash is stored."),
        Field::long_text("category", |c: &Self| &c.category, |c| &mut c.category)
            .about("Heading under which the setting is shown."),
    ];
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }
}
