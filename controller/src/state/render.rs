//! Shows objects of classes as JSON: their stored fields and what their rules add.

use super::json::JsonObject;
use super::row::{Row, stored_fields};
use super::rules::Rules;
use super::scene::Scene;

impl JsonObject<'_> {
    /// An embedded object with its stored fields, whose own relations are `{}`; all empty when it
    /// is missing.
    pub fn plain<C: Rules>(&mut self, name: &str, row: Option<&Row<C>>, scene: &Scene<'_>) {
        self.embedded(name, row, scene, |object| {
            C::RELATIONS
                .iter()
                .for_each(|relation| object.nothing(relation))
        });
    }

    /// An embedded object as it is when asked for by id.
    pub fn full<C: Rules>(&mut self, name: &str, row: Option<&Row<C>>, scene: &Scene<'_>) {
        self.embedded(name, row, scene, |object| C::extras(row, scene, object));
    }

    /// An embedded object of stored fields, with what `more` adds.
    pub fn embedded<C: Rules>(
        &mut self,
        name: &str,
        row: Option<&Row<C>>,
        scene: &Scene<'_>,
        more: impl FnOnce(&mut JsonObject<'_>),
    ) {
        self.object(name, |object| {
            object.fields(row, scene);
            more(object);
        });
    }

    fn fields<C: Rules>(&mut self, row: Option<&Row<C>>, scene: &Scene<'_>) {
        match row.map(|row| (row, row.overlay(scene))) {
            None => self.members(scene.tables.of::<C>().missing()),
            Some((_, Some(object))) => self.members(&stored_fields(&object, scene.secrets)),
            Some((row, None)) => self.members(row.members(scene.secrets)),
        }
    }
}

/// One object with everything that belongs to it.
pub fn render<C: Rules>(row: Option<&Row<C>>, scene: &Scene<'_>, out: &mut Vec<u8>) {
    let mut object = JsonObject::begin(out);
    object.fields(row, scene);
    C::extras(row, scene, &mut object);
    object.end();
}

/// Every class, and an object of it that is not there, as answers show it.
#[cfg(test)]
pub(crate) fn every_missing(
    scene: &Scene<'_>,
) -> Vec<(super::schema::ClassSchema, serde_json::Value)> {
    fn missing<C: Rules>(scene: &Scene<'_>) -> (super::schema::ClassSchema, serde_json::Value) {
        let mut out = Vec::new();
        render::<C>(None, scene, &mut out);
        (
            super::schema::ClassSchema::of::<C>(),
            serde_json::from_slice(&out).expect("a rendering is JSON"),
        )
    }
    macro_rules! each {
        ($($module:ident::$class:ident,)*) => { vec![$(missing::<super::classes::$class>(scene),)*] };
    }
    super::classes::every_class!(each)
}
