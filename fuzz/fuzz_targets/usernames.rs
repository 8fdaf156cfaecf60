//! Any bytes to `video_call_server::fuzzing::usernames`, which holds what must be true of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    video_call_server::fuzzing::usernames(input);
});
