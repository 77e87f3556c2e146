#![no_main]

use foghorn_transport::wire::{decode_agent_message, decode_client_message, decode_datagram,
    decode_goodbye, decode_hello};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = decode_client_message(data);
    let _ = decode_agent_message(data);
    let _ = decode_hello(data);
    let _ = decode_datagram(data);
    let _ = decode_goodbye(data);
});
