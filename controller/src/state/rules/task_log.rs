//! Which states tasks have been in, and when.

use super::Rules;
use crate::state::classes::TaskLog;
use crate::state::scene::Scene;

impl Rules for TaskLog {
    fn overlay(&self, scene: &Scene<'_>) -> Option<Self> {
        // As on a FOG server, which puts the caller's address into every row that it loads.
        Some(Self {
            ip: scene.from.to_string(),
            ..self.clone()
        })
    }
}
