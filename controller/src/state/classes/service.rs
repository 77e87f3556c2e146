//! Settings of the installation, by name. FOG calls them services.
//!
//! Two of them are the API's switch and token, which live in [`ApiSettings`]: their rows are windows on it, so that there is
//! one truth whichever way it is changed.

use crate::state::Refusal;
use crate::state::class::{Body, Class, Row, Unique, Write};
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::key;
use crate::state::scene::Scene;
use crate::state::settings::{ApiSettings, hash_token};
use crate::state::value::fold;
use crate::store::Compare;

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
    fn is_of_api(&self) -> bool {
        is_one_of(&self.name, &[API_ENABLED, API_TOKEN])
    }

    /// Moves a value that a client sent into the settings of the API.
    fn change_api(&mut self, draft: &mut Draft<'_>, body: &Body) -> Result<(), Refusal> {
        let value = std::mem::take(&mut self.value);
        if !body.contains_key("value") {
            return Ok(());
        }
        let current = draft.tables().api().cloned();
        let key = key::setting(ApiSettings::NAME);
        draft.require(match &current {
            Some(settings) => Compare::ModifiedAt(key, settings.modified),
            None => Compare::Absent(key),
        });
        let mut settings = current.unwrap_or(ApiSettings { enabled: true, token_hash: String::new(), modified: 0 });
        if fold(&self.name) == API_ENABLED {
            settings.enabled = !matches!(value.as_str(), "" | "0");
        } else if value.is_empty() {
            let why = "an empty token would let everybody in or nobody".to_owned();
            return Err(Refusal::Invalid { field: "value", why });
        } else {
            settings.token_hash = hash_token(&value);
        }
        draft.operate(settings.put_op());
        Ok(())
    }
}

impl Class for Service {
    const NAME: &'static str = "service";
    const ABOUT: &'static str = "A setting of the installation. Its description says whether it has an effect here.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::text("name", 255, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the setting; no two share one."),
        Field::long_text("description", |c: &Self| &c.description, |c| &mut c.description)
            .about("What the setting does, in words."),
        Field::long_text("value", |c: &Self| &c.value, |c| &mut c.value)
            .secret_in(|c| is_one_of(&c.name, SECRETS))
            .about("The value, as a text. A token is never shown: only its hash is stored."),
        Field::long_text("category", |c: &Self| &c.category, |c| &mut c.category)
            .about("Heading under which the setting is shown."),
    ];
    const NAMED: bool = true;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }

    fn overlay(&self, scene: &Scene<'_>) -> Option<Self> {
        if fold(&self.name) != API_ENABLED {
            return None;
        }
        let enabled = scene.tables.api().is_some_and(|api| api.enabled);
        Some(Self { value: u8::from(enabled).to_string(), ..self.clone() })
    }

    fn on_write(draft: &mut Draft<'_>, object: &mut Self, write: Write<'_, Self>, body: &Body) -> Result<(), Refusal> {
        if let Write::Edit(row) = write
            && row.is_of_api()
            && fold(&row.name) != fold(&object.name)
        {
            return Err(Refusal::Invalid { field: "name", why: format!("{} cannot be renamed", row.name) });
        }
        if object.is_of_api() { object.change_api(draft, body) } else { Ok(()) }
    }

    fn on_delete(_draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        if row.is_of_api() {
            return Err(Refusal::Invalid { field: "name", why: format!("{} cannot be deleted", row.name) });
        }
        Ok(())
    }
}
