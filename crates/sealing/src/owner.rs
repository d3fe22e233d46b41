//! Whose a key is.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// What somebody is who has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    /// A person who works with the program.
    Account,
    /// The program as it is installed here, by its log: its secret, from which keys of MACs are derived.
    Installation,
    /// A patient.
    Patient,
    /// A trial: who gets which treatment.
    Trial,
}

/// Every kind.
const KINDS: [OwnerKind; 4] = [OwnerKind::Account, OwnerKind::Installation, OwnerKind::Patient, OwnerKind::Trial];

/// Whose a key is. As text: kind and id, such as `patient.0198f0a0-5b7e-7c3d-8e9f-2a1b3c4d5e6f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// What it is.
    pub kind: OwnerKind,
    /// Which one.
    pub id: Uuid,
}

/// A text that names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an owner of keys")]
pub struct MalformedOwner;

impl OwnerKind {
    /// As text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Installation => "installation",
            Self::Patient => "patient",
            Self::Trial => "trial",
        }
    }
}

impl Owner {
    /// The program as it is installed here, on the log of this id: with another log it is another installation.
    pub const fn installation(log_id: Uuid) -> Self {
        Self { kind: OwnerKind::Installation, id: log_id }
    }

    /// A patient.
    pub const fn patient(id: Uuid) -> Self {
        Self { kind: OwnerKind::Patient, id }
    }

    /// An account.
    pub const fn account(id: Uuid) -> Self {
        Self { kind: OwnerKind::Account, id }
    }

    /// A trial.
    pub const fn trial(id: Uuid) -> Self {
        Self { kind: OwnerKind::Trial, id }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.kind.as_str(), self.id.hyphenated())
    }
}

impl FromStr for Owner {
    type Err = MalformedOwner;

    fn from_str(text: &str) -> Result<Self, MalformedOwner> {
        let (kind, id) = text.split_once('.').ok_or(MalformedOwner)?;
        let kind = KINDS.into_iter().find(|known| known.as_str() == kind).ok_or(MalformedOwner)?;
        let owner = Self { kind, id: Uuid::parse_str(id).map_err(|_| MalformedOwner)? };
        // A UUID may be written in several ways, an owner in one.
        if owner.to_string() == text { Ok(owner) } else { Err(MalformedOwner) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_written_in_one_way() {
        for kind in KINDS {
            let owner = Owner { kind, id: Uuid::from_u128(0x0198_f0a0_5b7e_7c3d_8e9f_2a1b_3c4d_5e6f) };
            assert_eq!(owner.to_string().parse(), Ok(owner));
            for other in [owner.to_string().to_uppercase(), format!("{} ", owner), format!("{kind:?}.{}", owner.id)] {
                assert_eq!(other.parse::<Owner>(), Err(MalformedOwner), "{other}");
            }
            let simple = format!("{}.{}", kind.as_str(), owner.id.simple());
            assert_eq!(simple.parse::<Owner>(), Err(MalformedOwner));
        }
        assert_eq!("patient".parse::<Owner>(), Err(MalformedOwner));
        let installation = Owner::installation(Uuid::nil());
        assert_eq!(installation.to_string(), "installation.00000000-0000-0000-0000-000000000000");
    }
}
