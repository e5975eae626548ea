//! What the vault opens, and each place, key and setting that it refuses.

use super::*;
use crate::testing::Counted;

const ROW: Binding<'_> = Binding { tenant: TenantId(7), row: "users/1", field: "email" };

fn setting(id: &str, byte: u8) -> String {
    format!("{id}:{}", STANDARD.encode([byte; 32]))
}

#[test]
fn what_is_sealed_opens_where_it_belongs_and_nowhere_else() {
    let vault = Vault::from_setting(&setting("a", 1)).unwrap();
    let sealed = vault.seal(&Counted::default(), &ROW, b"secret");
    assert!(sealed.starts_with("v1.a."), "{sealed}");
    assert_eq!(**vault.open(&ROW, &sealed).unwrap(), *b"secret");
    let elsewhere = [
        Binding { tenant: TenantId(0), ..ROW },
        Binding { row: "users/2", ..ROW },
        Binding { field: "name", ..ROW },
        Binding { row: "users/1e", field: "mail", ..ROW },
    ];
    for place in elsewhere {
        assert_eq!(vault.open(&place, &sealed), Err(VaultError::Forged), "{place:?}");
    }
    for altered in 5..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[altered] = if bytes[altered] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(bytes).unwrap();
        assert!(vault.open(&ROW, &altered).is_err(), "{altered}");
    }
}

#[test]
fn what_is_no_sealed_text_is_refused() {
    let vault = Vault::development([1; 32]);
    for bad in ["", "v1", "v1.dev", "v2.dev.AAAA", "v1..AAAA", "v1.dev.*", "v1.dev.AAAA"] {
        assert_eq!(vault.open(&ROW, bad), Err(VaultError::Malformed), "{bad}");
    }
    let unknown = VaultError::UnknownKey("old".into());
    assert_eq!(vault.open(&ROW, "v1.old.AAAA"), Err(unknown));
}

#[test]
fn keys_are_rotated_in_front_and_the_old_ones_still_open() {
    let chance = Counted::default();
    let old = Vault::from_setting(&setting("a", 1)).unwrap();
    let sealed = old.seal(&chance, &ROW, b"x");
    let both = format!("{}, {}", setting("b", 2), setting("a", 1));
    let new = Vault::from_setting(&both).unwrap();
    assert_eq!(**new.open(&ROW, &sealed).unwrap(), *b"x");
    assert!(new.needs_reseal(&sealed) && !old.needs_reseal(&sealed));
    assert!(!new.needs_reseal(&new.seal(&chance, &ROW, b"x")));
    let swapped = sealed.replace("v1.a.", "v1.b.");
    assert_eq!(new.open(&ROW, &swapped), Err(VaultError::Forged));
    let renamed = Vault::from_setting(&setting("b", 1)).unwrap();
    assert_eq!(renamed.open(&ROW, &swapped), Err(VaultError::Forged));
}

#[test]
fn a_bad_setting_is_named_and_no_key_is_shown() {
    use VaultSettingError::*;
    let key = STANDARD.encode([3; 32]);
    let table = [
        (" ".to_owned(), Empty),
        (key.clone(), NoId(1)),
        (format!("{}:{key}", &key[..43]), BadId(1)),
        (format!(":{key}"), BadId(1)),
        (format!("a:{key},b:{}", &key[..42]), WrongLength(2, "b".into(), 31)),
        (format!("a:{key},b:?{key}"), NotBase64(2, "b".into())),
        (format!("a:{key},a:{key}"), Twice(2, "a".into())),
        (format!("a:{key},"), NoId(2)),
    ];
    for (setting, why) in table {
        let error = Vault::from_setting(&setting).unwrap_err();
        assert_eq!(error, why);
        assert!(!format!("{error} {error:?}").contains(&key[..8]), "{error}");
    }
    assert_eq!(format!("{:?}", Vault::development([3; 32])), "[\"dev\"]");
}

#[test]
fn a_persons_key_opens_their_fields_only() {
    let (chance, vault) = (Counted::default(), Vault::development([1; 32]));
    let (ada, eve) = (PersonKey::generate(&chance), PersonKey::generate(&chance));
    let sealed = ada.seal(&chance, &ROW, b"ada@example.org");
    assert_eq!(eve.open(&ROW, &sealed), Err(VaultError::Forged));
    let kept = ada.seal_key(&vault, &chance, &ROW);
    let again = PersonKey::open_key(&vault, &ROW, &kept).unwrap();
    assert_eq!(**again.open(&ROW, &sealed).unwrap(), *b"ada@example.org");
    assert_eq!(again.open(&ROW, &kept), Err(VaultError::UnknownKey("dev".into())));
    assert_eq!(format!("{ada:?}"), "PersonKey(…)");
}

#[test]
fn the_lookup_hash_depends_on_key_tenant_and_address() {
    let (chance, vault) = (Counted::default(), Vault::development([1; 32]));
    let key = LookupKey::generate(&chance);
    let hash = lookup_hash(&key, TenantId(1), "a@b.example");
    let kept = key.seal_key(&vault, &chance, &ROW);
    let again = LookupKey::open_key(&vault, &ROW, &kept).unwrap();
    assert_eq!(lookup_hash(&again, TenantId(1), "a@b.example"), hash);
    assert_ne!(lookup_hash(&key, TenantId(2), "a@b.example"), hash);
    assert_ne!(lookup_hash(&key, TenantId(1), "b@b.example"), hash);
    let other = LookupKey::generate(&chance);
    assert_ne!(lookup_hash(&other, TenantId(1), "a@b.example"), hash);
}
