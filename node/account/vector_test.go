package account

// vaultVector is a vault with one secret, "account": "a person", for the passphrase of the tests.
const vaultVector = `
	636169726e207661756c7400 01 00 00000003 00010000 04 5f0e710ad415649a709b7b4b66d35efd 0c 313244334b6f6f576e6f6465
	14e166b3128b785bd9fb2e6bf7c713156c8a179b9bbad461 a82c3bc679755b6cd0a654774f130ad0f235b8618af91169a1f463f6fca0839aa60bfb3f`
