"""Answer what routes and pages ask: one service a resource, made once per replica."""
