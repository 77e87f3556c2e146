//! Multicast sessions: deploys of one image that belong together.

use foghorn_types::TaskId;

use super::{Rules, Write};
use crate::state::class::{Body, Class};
use crate::state::classes::{Image, MulticastSession, MulticastSessionAssociation, TaskState};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::tables::Tables;

impl MulticastSession {
    /// How many of its hosts have come; `None` before the first, when `clients` says how the
    /// session was made.
    #[must_use]
    pub fn joined(&self, tables: &Tables) -> Option<i64> {
        let rows = self
            .members(tables)
            .filter_map(|task| tables.tasks().get(task));
        let joined = rows.filter(|task| task.check_in_time.0.is_some()).count();
        (joined > 0).then(|| i64::try_from(joined).unwrap_or(i64::MAX))
    }

    /// Ids of its tasks.
    fn members(&self, tables: &Tables) -> impl Iterator<Item = u32> {
        let members = tables.of::<MulticastSessionAssociation>();
        members
            .by(MulticastSessionAssociation::BY_SESSION, self.id.into())
            .map(|member| member.task)
    }
}

impl Rules for MulticastSession {
    fn bare(out: &mut JsonObject<'_>) {
        out.texts("state", [""; 0]);
        out.null("imageID");
        out.object("image", |image| {
            for name in <Image as Class>::RELATIONS {
                image.nothing(name);
            }
        });
    }

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        out.plain(
            "image",
            row.and_then(|row| tables.images().get(row.image))
                .map(AsRef::as_ref),
            scene,
        );
        let image = row.map(|row| row.image).filter(|image| *image != 0);
        out.text(
            "imageID",
            &image.map(|image| image.to_string()).unwrap_or_default(),
        );
        let state = row.and_then(|row| tables.of::<TaskState>().get(row.state));
        out.plain("state", state.map(AsRef::as_ref), scene);
    }

    fn overlay(&self, scene: &Scene<'_>) -> Option<Self> {
        if !self.is_active() {
            return None;
        }
        let running = self.members(scene.tables).filter_map(TaskId::new);
        let slowest = running
            .filter_map(|task| scene.glance.progress(task))
            .map(|progress| progress.percent)
            .min();
        let clients = self.joined(scene.tables);
        if slowest.is_none() && clients.is_none() {
            return None;
        }
        let percent = slowest.map_or(self.percent, i64::from);
        Some(Self {
            percent,
            clients: clients.unwrap_or(self.clients),
            ..self.clone()
        })
    }

    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        // No guard holds the name: sessions of tasks take theirs from what the task is called, as
        // often as that comes.
        let owner = draft
            .tables()
            .of::<Self>()
            .named(&object.name)
            .filter(|_| !object.name.trim().is_empty());
        match (write, owner) {
            (Write::Create, Some(owner)) => Err(Refusal::Taken {
                class: Self::NAME,
                field: "name",
                value: object.name.clone(),
                owner: owner.id,
            }),
            _ => Ok(()),
        }
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let members = draft.tables().of::<MulticastSessionAssociation>();
        draft.delete_each(members.by(MulticastSessionAssociation::BY_SESSION, row.id.into()));
        Ok(())
    }
}
