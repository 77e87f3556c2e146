//! Generates the gRPC code with `protoc`, which the Makefile installs (`protobuf-compiler`).

fn main() -> std::io::Result<()> {
    tonic_prost_build::configure()
        .compile_protos(&["foghorn/link.proto", "foghorn/peer.proto"], &["."])
}
