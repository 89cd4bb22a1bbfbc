namespace Shop;

/// <summary>Something that a person has to change; the message says what.</summary>
internal sealed class ShopException(string message, Exception? innerException = null) : Exception(message, innerException);
