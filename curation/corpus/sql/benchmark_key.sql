md5(trim(regexp_replace(lower(nfc_normalize({text})), '[^\p{L}\p{N}]+', ' ', 'g')))
