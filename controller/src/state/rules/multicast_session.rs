//! Multicast sessions: deploys of one image that belong together.

use foghorn_types::{TaskId, Timestamp};

use super::{Rules, Write};
use crate::state::class::{Body, Class};
use crate::state::classes::task::state;
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

impl Rules for MulticastSessionAssociation {
    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        leave(draft, row)
    }
}

/// A task leaves its session. With the last one the session ends: nothing else would end it, and it
/// would keep its groups and its image's content.
///
/// # Errors
/// When the session cannot be drafted.
pub(super) fn leave(
    draft: &mut Draft<'_>,
    member: &Row<MulticastSessionAssociation>,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let sessions = tables.of::<MulticastSession>();
    let Some(session) = sessions.get(member.session) else {
        return Ok(());
    };
    if !session.is_active() || draft.deletes::<MulticastSession>(session.id) {
        return Ok(());
    }
    // Of tasks that leave at the same time, the last one sees that it is.
    draft.take_turn_of::<MulticastSession>(session.id);
    let mut others = tables
        .of::<MulticastSessionAssociation>()
        .by(MulticastSessionAssociation::BY_SESSION, session.id.into())
        .filter(|other| other.id != member.id);
    if others.any(|other| !draft.deletes::<MulticastSessionAssociation>(other.id)) {
        return Ok(());
    }
    let is_complete = MulticastSession::members(session, tables)
        .filter_map(|task| tables.tasks().get(task))
        .any(|task| task.state == state::COMPLETE);
    let how = if is_complete {
        state::COMPLETE
    } else {
        state::CANCELLED
    };
    end(
        draft,
        session,
        &ended(tables, session, how, Timestamp::now()),
    )
}

/// Ends a session whose tasks have ended; a task that joins at the same time is seen.
///
/// # Errors
/// When the row cannot be drafted.
pub(crate) fn end(
    draft: &mut Draft<'_>,
    row: &Row<MulticastSession>,
    ended: &MulticastSession,
) -> Result<(), Refusal> {
    let plan = row.key();
    if let Some(plan) = plan.and_then(|session| draft.tables().session_plans().get(&session)) {
        draft.discard(&**plan);
    }
    draft.take_turn_of::<MulticastSession>(row.id);
    draft.update(row, ended)
}

/// The session with this end. A cancelled session releases its name, as on a FOG server.
#[must_use]
pub(crate) fn ended(
    tables: &Tables,
    row: &Row<MulticastSession>,
    end: u32,
    now: Timestamp,
) -> MulticastSession {
    let clients = row.joined(tables).unwrap_or(row.clients);
    let session = MulticastSession {
        state: end,
        clients,
        ..MulticastSession::clone(row)
    };
    if end == state::COMPLETE {
        MulticastSession {
            percent: 100,
            completetime: now.into(),
            ..session
        }
    } else {
        MulticastSession {
            name: String::new(),
            ..session
        }
    }
}
