\set id random(1, 1000)
\set amount random(-5, 5)
UPDATE pb_account SET balance = balance + :amount WHERE id = :id;
