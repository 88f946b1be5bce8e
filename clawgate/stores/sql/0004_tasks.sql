-- Tasks, their comments and events. Ring: edge. Ids are UUIDs; `seq` counts up and stands for the order of creation. Long texts last.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    organization_id TEXT,
    status TEXT NOT NULL,
    priority TEXT NOT NULL,
    assignee_id TEXT,
    group_id TEXT,
    reviewer_id TEXT,
    human_review INTEGER NOT NULL,
    review_status TEXT,
    parent_task_id TEXT,
    created_by_employee_id TEXT,
    created_by_user_id TEXT,
    due_ms INTEGER,
    completed_ms INTEGER,
    order_in_status INTEGER NOT NULL,
    order_in_parent INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    title TEXT NOT NULL,
    review_comment TEXT,
    description TEXT,
    metadata TEXT NOT NULL
);

-- A page of one filter comes straight from that filter's index. Several filters at once are judged within tasks_listed, which holds all they ask about, so
-- that no row is read that is not shown, however rare the combination.
CREATE INDEX tasks_listed ON tasks (order_in_status, seq DESC, status, priority, assignee_id, group_id, parent_task_id, organization_id);
CREATE INDEX tasks_status ON tasks (status, order_in_status, seq DESC);
CREATE INDEX tasks_priority ON tasks (priority, order_in_status, seq DESC);
CREATE INDEX tasks_assignee ON tasks (assignee_id, order_in_status, seq DESC);
CREATE INDEX tasks_group ON tasks (group_id, order_in_status, seq DESC);
CREATE INDEX tasks_parent ON tasks (parent_task_id, order_in_status, seq DESC);
CREATE INDEX tasks_organization ON tasks (organization_id, order_in_status, seq DESC);

CREATE TABLE task_comments (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL,
    author_type TEXT NOT NULL,
    author_employee_id TEXT,
    author_user_id TEXT,
    created_ms INTEGER NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX task_comments_of ON task_comments (task_id, seq);

CREATE TABLE task_events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    actor_type TEXT NOT NULL,
    actor_employee_id TEXT,
    actor_user_id TEXT,
    created_ms INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX task_events_of ON task_events (task_id, seq);
