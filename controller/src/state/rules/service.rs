//! Settings of the installation, by name. FOG calls them services.
//!
//! Two of them are the API's switch and token, which live in [`ApiSettings`]: their rows are
//! windows on it, so that there is one truth whichever way it is changed.

use super::{Rules, Write};
use crate::state::class::Body;
use crate::state::classes::Service;
use crate::state::classes::service::API_ENABLED;
use crate::state::draft::Draft;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::settings::hash_token;
use crate::state::value::fold;

impl Service {
    /// Moves a value that a client sent into the settings of the API.
    fn change_api(&mut self, draft: &mut Draft<'_>, body: &Body) -> Result<(), Refusal> {
        let value = std::mem::take(&mut self.value);
        if !body.contains_key("value") {
            return Ok(());
        }
        let mut settings = draft.tables().api().cloned().unwrap_or_default();
        if fold(&self.name) == API_ENABLED {
            settings.enabled = !matches!(value.as_str(), "" | "0");
        } else if value.is_empty() {
            let why = "the token must not be empty".to_owned();
            return Err(Refusal::Invalid {
                field: "value",
                why,
            });
        } else {
            settings.token_hash = hash_token(&value);
        }
        draft.replace(&settings);
        Ok(())
    }
}

impl Rules for Service {
    fn overlay(&self, scene: &Scene<'_>) -> Option<Self> {
        if fold(&self.name) != API_ENABLED {
            return None;
        }
        let enabled = scene.tables.api().is_some_and(|api| api.enabled);
        Some(Self {
            value: u8::from(enabled).to_string(),
            ..self.clone()
        })
    }

    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        body: &Body,
    ) -> Result<(), Refusal> {
        if let Write::Edit(row) = write
            && row.is_of_api()
            && fold(&row.name) != fold(&object.name)
        {
            return Err(Refusal::Invalid {
                field: "name",
                why: format!("{} cannot be renamed", row.name),
            });
        }
        if object.is_of_api() {
            object.change_api(draft, body)
        } else {
            Ok(())
        }
    }

    fn on_delete(_draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        if row.is_of_api() {
            return Err(Refusal::Invalid {
                field: "name",
                why: format!("{} cannot be deleted", row.name),
            });
        }
        Ok(())
    }
}
