namespace Millrace.Kafka;

/// <content>Which topics the picture holds: those that are used.</content>
internal sealed partial class MetadataCache
{
    private void Track(IEnumerable<string> topics, bool mayCreate)
    {
        long now = _context.Time.GetTimestamp();
        lock (_gate)
        {
            foreach (string topic in topics)
            {
                Track(topic, now, mayCreate);
            }
        }
    }

    /// <summary>Somebody waits for a topic that is not known: a question for it may create it.</summary>
    private void Want(string topic)
    {
        lock (_gate)
        {
            Track(topic, _context.Time.GetTimestamp(), mayCreate: true).MayBeCreated = true;
        }
    }

    private TrackedTopic Track(string topic, long now, bool mayCreate)
    {
        if (_topics.TryGetValue(topic, out TrackedTopic? tracked))
        {
            tracked.UsedAt = now;
        }
        else
        {
            _topics.Add(topic, tracked = new TrackedTopic(now, mayCreate));
        }

        return tracked;
    }

    /// <summary>The topics of the next question, without those that nobody has used for too long, which leave the picture.</summary>
    private (List<string> Known, List<string> Creatable, bool AsksForAll) TopicsToAskFor()
    {
        List<string> known = [];
        List<string> creatable = [];
        HashSet<string> forgotten = [];
        bool asksForAll;
        long now = _context.Time.GetTimestamp();
        ClusterView view = View;
        lock (_gate)
        {
            asksForAll = _tracksAll;
            _missed.Take().ForEach(topic => Track(topic, now, mayCreate: false));
            foreach ((string name, TrackedTopic topic) in _topics)
            {
                if (view.Topics.TryGetValue(name, out TopicDescription? described) && described.Use?.Take() == true)
                {
                    topic.UsedAt = now;
                }

                if (_context.Time.GetElapsedTime(topic.UsedAt, now) > TopicMaxIdleTime)
                {
                    forgotten.Add(name);
                    _topics.Remove(name);
                }
                else if (topic.MayBeCreated && _context.Settings.AllowAutoCreateTopics)
                {
                    creatable.Add(name);
                }
                else
                {
                    known.Add(name);
                }
            }
        }

        if (forgotten.Count > 0 && !asksForAll)
        {
            // Whoever asks for one from here on misses it, which brings it back with the next refresh.
            lock (_viewGate)
            {
                Volatile.Write(ref _view, View.Only(View.Topics.Keys.Where(topic => !forgotten.Contains(topic)).ToHashSet()));
            }
        }

        return (known, creatable, asksForAll);
    }
}
