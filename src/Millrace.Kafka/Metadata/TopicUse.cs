using System.Collections.Concurrent;

namespace Millrace.Kafka;

/// <summary>Whether anybody has asked for a topic since that was last looked at. The pictures of the cluster that follow one another share it.</summary>
internal sealed class TopicUse
{
    private volatile bool _isUsed;

    public void Mark()
    {
        // Read first: the line stays shared between processors.
        if (!_isUsed)
        {
            _isUsed = true;
        }
    }

    public bool Take()
    {
        bool isUsed = _isUsed;
        _isUsed = false;
        return isUsed;
    }
}

/// <summary>Topics whose leaders somebody looked for in vain: the next refresh asks for them, whether they were forgotten before or not.</summary>
internal sealed class MissedTopics
{
    private readonly ConcurrentDictionary<string, bool> _names = new();

    public void Add(string topic) => _names.TryAdd(topic, true);

    public List<string> Take() => [.. _names.Keys.Where(topic => _names.TryRemove(topic, out _))];
}
