//! Any bytes to `video_call_server::fuzzing::forwarded_for`, which holds what must be true of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    video_call_server::fuzzing::forwarded_for(input);
});
