\set branch random(0, 9)
SELECT n, total FROM pb_branch WHERE branch = :branch;
