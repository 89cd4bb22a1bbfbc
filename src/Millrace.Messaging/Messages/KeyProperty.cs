using System.Reflection;

namespace Millrace;

/// <summary>The property that is a message's key, and how its value becomes bytes.</summary>
internal sealed class KeyProperty
{
    private readonly PropertyInfo _property;

    private KeyProperty(PropertyInfo property) => _property = property;

    /// <summary>The key property of <paramref name="type"/>, or null when it declares none.</summary>
    /// <exception cref="MillraceConfigurationException">It declares several, or one that cannot be a key.</exception>
    public static KeyProperty? Of(Type type)
    {
        HashSet<PropertyInfo> keys = [.. type.GetProperties().Where(property => property.IsDefined(typeof(MessageKeyAttribute)))];
        // [MessageKey] on a parameter of a positional record stands on the parameter: its property has the same name.
        foreach (ParameterInfo parameter in type.GetConstructors().SelectMany(constructor => constructor.GetParameters()))
        {
            if (!parameter.IsDefined(typeof(MessageKeyAttribute))) continue;
            keys.Add(type.GetProperty(parameter.Name!, BindingFlags.Instance | BindingFlags.Public | BindingFlags.IgnoreCase)
                ?? throw new MillraceConfigurationException(
                    $"[MessageKey] stands on the parameter '{parameter.Name}' of {type.FullName}, which has no public property of that name. Put it on the property."));
        }

        if (keys.Count == 0) return null;
        if (keys.Count > 1)
        {
            throw new MillraceConfigurationException(
                $"{type.FullName} has several properties with [MessageKey] ({string.Join(", ", keys.Select(key => key.Name))}). Keep one.");
        }

        PropertyInfo property = keys.Single();
        if (!CanBeKey(property.PropertyType))
        {
            throw new MillraceConfigurationException(
                $"The key {type.FullName}.{property.Name} is a {property.PropertyType.Name}. A key is a string, a Guid or an integer.");
        }

        return new KeyProperty(property);
    }

    /// <summary>The key of <paramref name="message"/> as text, which travels in UTF-8.</summary>
    /// <exception cref="ArgumentException">The key is null: the message would silently lose its order.</exception>
    public string Read(object message) => _property.GetValue(message) switch
    {
        string value => value,
        Guid value => value.ToString("D"),
        IFormattable value => value.ToString(format: null, System.Globalization.CultureInfo.InvariantCulture),
        _ => throw new ArgumentException(
            $"The key {message.GetType().Name}.{_property.Name} is null. Without a key the message would lose its order; set it.", nameof(message)),
    };

    private static bool CanBeKey(Type type) =>
        type == typeof(string) || type == typeof(Guid)
        || type == typeof(int) || type == typeof(long) || type == typeof(short) || type == typeof(sbyte)
        || type == typeof(uint) || type == typeof(ulong) || type == typeof(ushort) || type == typeof(byte)
        || type == typeof(Int128) || type == typeof(UInt128) || type == typeof(System.Numerics.BigInteger);
}
