//! Plugins as a FOG server keeps them: whether each is switched on. What a plugin is, and how it
//! does, its file says ([`crate::plugins`]).

use super::Rules;
use crate::state::classes::Plugin;
use crate::state::json::JsonObject;
use crate::state::row::Row;
use crate::state::scene::Scene;

impl Rules for Plugin {
    fn extras(row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let name = row.map_or("", |row| row.name.as_str());
        out.null("location");
        out.null("description");
        out.null("icon");
        out.texts(
            "runinclude",
            [
                name,
                &format!("../lib/plugins/{}/html/run.php", name.to_lowercase()),
            ],
        );
        out.text("hash", &Self::hash(name));
    }
}
