\set id random(1, 1000)
\set amount random(-5, 5)
BEGIN;
INSERT INTO pb_entry (account, amount) VALUES (:id, :amount);
SELECT balance FROM pb_account WHERE id = :id;
COMMIT;
