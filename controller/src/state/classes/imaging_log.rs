//! When which host was imaged with what.

use crate::state::class::{Class, Computed, Shape, id_in_field};
use crate::state::field::Field;
use crate::state::value::FogTime;

/// One imaging of one host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImagingLog {
    pub id: u32,
    pub host: u32,
    pub start: FogTime,
    pub finish: FogTime,
    /// Name of the image, as it was then.
    pub image: String,
    /// `up` for a capture, `down` for a deploy.
    pub kind: String,
    pub created_by: String,
}

impl ImagingLog {
    /// Index by host.
    pub const BY_HOST: usize = 0;
}

impl Class for ImagingLog {
    const NAME: &'static str = "imaginglog";
    const ABOUT: &'static str = "One transfer of an image.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the entry."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id)
            .required()
            .about("The host."),
        Field::time("start", |c: &Self| &c.start, |c| &mut c.start)
            .required()
            .about("When the transfer began."),
        Field::time("finish", |c: &Self| &c.finish, |c| &mut c.finish)
            .required()
            .about("When it was complete; never for one that was not."),
        Field::text("image", 64, |c: &Self| &c.image, |c| &mut c.image)
            .required()
            .about("Name of the image."),
        Field::text("type", 64, |c: &Self| &c.kind, |c| &mut c.kind)
            .required()
            .about("Direction: up for a capture, down for a deployment."),
        Field::text(
            "createdBy",
            255,
            |c: &Self| &c.created_by,
            |c| &mut c.created_by,
        )
        .about("Name of the user who ordered it."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "host",
        shape: Shape::Full("host"),
        about: "The host.",
    }];
    const RELATIONS: &'static [&'static str] = &["host"];
    const INDEXES: usize = 1;

    id_in_field!();

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
