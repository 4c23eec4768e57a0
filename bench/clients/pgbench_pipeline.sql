\set a random(0, 9)
\set b random(1, 1000)
\startpipeline
SELECT n FROM pb_branch WHERE branch = :a;
SELECT balance FROM pb_account WHERE id = :b;
SELECT total FROM pb_branch WHERE branch = :a;
\endpipeline
