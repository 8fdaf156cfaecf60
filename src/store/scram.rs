//! What PostgreSQL keeps of a password, so that the password itself is in no statement, and in no log of statements.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// PostgreSQL's own number.
const ITERATIONS: u32 = 4096;

/// The verifier of a password of ASCII characters, as PostgreSQL stores it: RFC 5802, section 3, with SHA-256 (RFC 7677).
pub(crate) fn verifier(password: &str, salt: [u8; 16]) -> String {
    let salted = salted(password.as_bytes(), &salt);
    let stored_key = Sha256::digest(keyed(&salted, &[b"Client Key"]));
    let server_key = keyed(&salted, &[b"Server Key"]);
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256${ITERATIONS}:{}${}:{}", text(&salt), text(&stored_key), text(&server_key))
}

/// `Hi` of RFC 5802: PBKDF2 of one block.
fn salted(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut block = keyed(password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = block;
    for _ in 1..ITERATIONS {
        block = keyed(password, &[&block]);
        sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn keyed(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    // A key of any length will do: longer ones are hashed, shorter ones padded. That is why this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_the_one_that_postgres_makes_itself() {
        let salt = STANDARD.decode("WkU1CuykvYUCf2Jb4DSzKw==").unwrap().try_into().unwrap();
        let made_by_postgres = "SCRAM-SHA-256$4096:WkU1CuykvYUCf2Jb4DSzKw==$hf0oBBQh3OPzdw0Bar/d16lFtbuEagqT5Lm+nqPow/8=:EivbpQpkK4cM00nhGhA1FHY8S9xnFFGPvvJ/vmn9gfc=";
        assert_eq!(verifier("correct horse 1", salt), made_by_postgres);
    }
}
