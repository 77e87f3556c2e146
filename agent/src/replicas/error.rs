//! Why a copy to this node was not made.

/// Why a copy did not come about. What was stored stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("could not get the list of the image's chunks: {0}")]
    Manifest(String),
    #[error("the list of the image's chunks is not valid")]
    Decode(#[from] foghorn_image::DecodeManifestError),
    #[error("could not read the list of the image's chunks")]
    Read(#[from] foghorn_chunk_store::ReadManifestError),
    #[error("could not store a part of the list of the image's chunks")]
    PutPart(#[from] foghorn_chunk_store::PutPartError),
    #[error("could not look up chunks")]
    Index(#[from] foghorn_chunk_store::IndexError),
    #[error("could not store chunks")]
    Put(#[from] foghorn_chunk_store::PutError),
    #[error("{missing} of {total} chunks cannot be had: {named}")]
    Unavailable {
        missing: usize,
        total: usize,
        named: String,
    },
    #[error("could not store the image")]
    PutManifest(#[from] foghorn_chunk_store::PutManifestError),
    #[error("could not list the images of this node")]
    List(#[from] foghorn_chunk_store::ListManifestsError),
}
