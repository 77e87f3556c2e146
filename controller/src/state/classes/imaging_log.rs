//! When which host was imaged with what.

use crate::state::class::{Class, Computed, Shape, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};
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
        field!(reference, "hostID", host)
            .required()
            .about("The host."),
        field!(time, "start", start)
            .required()
            .about("When the transfer began."),
        field!(time, "finish", finish)
            .required()
            .about("When it was complete; never for one that was not."),
        field!(text, "image", 64, image)
            .required()
            .about("Name of the image."),
        field!(text, "type", 64, kind)
            .required()
            .about("Direction: up for a capture, down for a deployment."),
        field!(text, "createdBy", 255, created_by).about("Name of the user who ordered it."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "host",
        shape: Shape::Full("host"),
        about: "The host.",
    }];
    const RELATIONS: &'static [&'static str] = &["host"];
    const INDEXES: usize = 1;

    id_in_field!();
    points_at_host!();

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
